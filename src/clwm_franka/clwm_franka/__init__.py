"""Franka arms and hands by libfranka: what keeps their limits, how they fail and recover, and a process for each."""
