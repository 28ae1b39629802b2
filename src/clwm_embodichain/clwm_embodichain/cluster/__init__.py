"""Simulation and training on more than one machine, by Ray, which is imported nowhere else."""
