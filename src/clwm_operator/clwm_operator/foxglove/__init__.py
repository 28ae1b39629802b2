"""`clwm foxglove`: the running stack for Foxglove, to look at and nothing else."""
