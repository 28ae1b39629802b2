"""Fresh simulated trajectories, from simulation processes to the learner."""
