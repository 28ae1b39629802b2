"""Draws an episode's dynamics, each quantity alone, uniformly in its range; factors on a logarithmic scale."""

from __future__ import annotations

import numpy as np

from clwm_sim.physics import Physics

# Of nominal values. A hand still holds the heaviest thing there is when it is weakest and most slippery.
FACTORS = {
    "mass": (0.75, 1.35),
    "friction": (0.75, 1.35),
    "hinge_damping": (0.5, 2.0),
    "finger_friction": (0.8, 1.25),
    "table_friction": (0.5, 1.3),
    "joint_damping": (0.5, 2.0),
    "stiffness": (0.7, 1.4),
    "damping_ratio": (0.8, 1.25),
    "grip_force": (0.8, 1.6),
}
AMOUNTS = {
    "drag": (0.0, 0.5),  # 1/s: light things in air
    "latency": (0.0, 0.060),  # s
    "table_height": (-0.02, 0.02),  # m
}


def draw(rng: np.random.Generator) -> Physics:
    """The dynamics of one episode."""
    factors = {name: float(np.exp(rng.uniform(*np.log(bounds)))) for name, bounds in FACTORS.items()}
    amounts = {name: float(rng.uniform(*bounds)) for name, bounds in AMOUNTS.items()}
    return Physics(**factors, **amounts)
