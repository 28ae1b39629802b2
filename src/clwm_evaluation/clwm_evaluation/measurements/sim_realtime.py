"""How much faster than real time the simulation runs on one core: physics, controllers and three cameras at 20 Hz.

    python -m clwm_evaluation.measurements.sim_realtime --json benchmarks/results/sim_realtime.json

The same PacedSimulation that the node runs, driven as fast as it goes while both arms follow a trajectory. A factor
above 1.0 keeps pace; what is left of the core goes to messages.
"""

from __future__ import annotations

import json
import time
from typing import Annotated

import numpy as np
import typer

from clwm_common.control.trajectory import JointTrajectory
from clwm_common.provenance import commit, machine
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.report import JsonFile, write_json
from clwm_sim.pacing import PacedSimulation, PictureTaken
from clwm_sim.world import World

STEP = 0.01  # s of the virtual clock per call, as often as the node's joint states


def swaying(robot: RobotDescription, arm: int, home: np.ndarray, seconds: float, stamp: float) -> JointTrajectory:
    """A cubic trajectory of knots every 0.05 s that keeps all joints of one arm moving."""
    times = np.arange(0.05, seconds + 1.0, 0.05)
    positions = home + 0.15 * np.sin(2.0 * times)[:, None]
    velocities = np.repeat(0.30 * np.cos(2.0 * times)[:, None], 7, axis=1)
    velocities[-1] = 0.0
    return JointTrajectory.from_arrays(robot.arms[arm].joint_names, times, positions, velocities, stamp=stamp)


def measure(seconds: float, image_size: int, seed: int) -> dict:
    robot = RobotDescription.load("dual_fr3_mujoco")
    world = World("lift_tray", image_size, seed, robot)
    start = 1000.0
    simulation = PacedSimulation(world, robot, seed, now=start)
    home, _ = world.setpoint()
    for arm in (0, 1):
        message = swaying(robot, arm, home[7 * arm : 7 * arm + 7], seconds, start)
        simulation.control.receive_trajectory(arm, message)
    world.render("head")  # the first picture creates the GL context
    pictures = 0
    before = time.process_time(), time.perf_counter()
    for now in start + STEP * np.arange(1, round(seconds / STEP) + 1):
        pictures += sum(isinstance(seen, PictureTaken) for seen in simulation.run(float(now)))
    cpu, wall = time.process_time() - before[0], time.perf_counter() - before[1]
    simulated = world.time
    world.close()
    return {
        "benchmark": "sim_realtime",
        "real_time_factor": round(simulated / wall, 2),
        "real_time_factor_of_cpu": round(simulated / cpu, 2),
        "simulated_seconds": round(simulated, 3),
        "pictures_per_simulated_second": round(pictures / simulated, 2),
        "image_size": image_size,
        "seed": seed,
        "machine": machine(),
        "commit": commit(),
    }


def main(
    seconds: Annotated[float, typer.Option(help="simulated time to run")] = 20.0,
    image_size: int = 128,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """How much faster than real time the simulation runs on one core."""
    result = measure(seconds, image_size, seed)
    print(json.dumps(result, indent=2))
    write_json(PlainConsole(stderr=True), result, json_file)


if __name__ == "__main__":
    typer.run(main)
