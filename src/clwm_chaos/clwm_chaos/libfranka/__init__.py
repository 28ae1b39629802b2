"""Faults of arms and hands by libfranka, on the running stack with the simulated world behind their protocol."""
