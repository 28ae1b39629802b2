"""Faults let loose on the executor's core and on the running stack, and long runs of it."""
