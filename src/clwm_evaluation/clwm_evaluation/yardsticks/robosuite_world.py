"""robosuite's TwoArmLift, two Pandas side by side, commanded by JSON lines: run by an environment that has robosuite.

Imports nothing of this project. Each line on stdin is an order, each line on stdout its answer; whoever sends orders is
in robosuite_process.py. All is in robosuite's own frame and order: m, rad, quaternions wxyz, robot 0 first, the right
one. Task, objects, physics and the hands' force are robosuite's; what is set here is how arms and hands are told where
to go, and where cameras are.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import mujoco
import numpy as np
import robosuite
from robosuite.controllers import load_composite_controller_config
from robosuite.models.grippers import PandaGripper, register_gripper

STEP = 0.01  # s between two targets
STIFFNESS = 1000.0  # 1/s^2, critically damped: an arm lags by 63 ms, which its target is told to run ahead
LAG = 2.0 / np.sqrt(STIFFNESS)  # s
FINGER = 0.04  # m from closed to open


@register_gripper
class OpeningGripper(PandaGripper):
    """robosuite's Panda hand, told an opening in m in place of `open` and `close`."""

    def format_action(self, action: np.ndarray) -> np.ndarray:
        share = np.clip(action[0] / FINGER - 1.0, -1.0, 1.0)
        return np.array([share, -share])


class TwoArmLift:
    """One environment for all episodes."""

    def __init__(self) -> None:
        config = load_composite_controller_config(controller="BASIC")
        drive = {"type": "JOINT_POSITION", "input_type": "absolute", "impedance_mode": "fixed", "damping_ratio": 1}
        reach = {"input_max": 3.2, "input_min": -3.2, "output_max": 3.2, "output_min": -3.2}
        arm = {**drive, **reach, "kp": STIFFNESS, "kp_limits": [0, STIFFNESS], "interpolation": None}
        config["body_parts"] = {"right": {**arm, "gripper": {"type": "GRIP"}}}
        self._env = robosuite.make(
            "TwoArmLift",
            robots=["Panda", "Panda"],
            env_configuration="parallel",
            controller_configs=config,
            gripper_types="OpeningGripper",
            use_camera_obs=False,
            use_object_obs=False,
            has_renderer=False,
            has_offscreen_renderer=True,
            ignore_done=True,
            hard_reset=False,
            control_freq=round(1.0 / STEP),
        )

    def about(self) -> dict[str, Any]:
        """What stays the same: bases (position, quaternion) of the robots, the table's top, the pot's handles (m, in
        the frame of its body), their width, and half its height; s of a step and of the arms' lag.
        """
        env = self._env
        model, data = env.sim.model, env.sim.data
        bases = [model.body_name2id(robot.robot_model.root_body) for robot in env.robots]
        pot = env.pot
        return {
            "bases": [[*data.body_xpos[body].tolist(), *data.body_xquat[body].tolist()] for body in bases],
            "table": data.site_xpos[env.table_top_id].tolist(),
            "handles": [
                (data.body_xmat[env.pot_body_id].reshape(3, 3).T @ (data.site_xpos[site] - _position(env))).tolist()
                for site in (env.handle0_site_id, env.handle1_site_id)
            ],
            "handle_width": 2.0 * pot.handle_radius,
            "half_height": float(pot.top_offset[2]),
            "pot_mass": float(model.body_subtreemass[env.pot_body_id]),
            "step": STEP,
            "lag": float(LAG),
        }

    def reset(self, seed: int, home: list[list[float]]) -> dict[str, Any]:
        """Begin an episode as robosuite draws it, the arms (robots, 7) around `home`, hands open; answers the state."""
        env = self._env
        env.rng = np.random.default_rng(seed)
        env.placement_initializer.rng = env.rng
        for robot, joints in zip(env.robots, home, strict=True):
            robot.init_qpos = np.array(joints)
        env.reset()
        for robot in env.robots:
            fingers = robot._ref_gripper_joint_pos_indexes["right"]
            env.sim.data.qpos[fingers] = [FINGER, -FINGER]
        env.sim.forward()
        return self.state()

    def advance(self, actions: list[list[float]]) -> dict[str, Any]:
        """One step for each action (of each robot 7 joints and an opening); answers the state after the last."""
        succeeded = False
        for action in actions:
            self._env.step(np.array(action))
            succeeded = succeeded or bool(self._env._check_success())
        return {**self.state(), "success": succeeded}

    def state(self) -> dict[str, Any]:
        """Of each robot joints, velocities, fingers and the middle between them; the pot's pose and speed; whether
        robosuite counts it as success.
        """
        env = self._env
        data = env.sim.data
        return {
            "robots": [
                {
                    "joints": data.qpos[robot._ref_joint_pos_indexes].tolist(),
                    "velocities": data.qvel[robot._ref_joint_vel_indexes].tolist(),
                    "fingers": data.qpos[robot._ref_gripper_joint_pos_indexes["right"]].tolist(),
                    "tool": data.site_xpos[robot.eef_site_id["right"]].tolist(),
                }
                for robot in env.robots
            ],
            "pot": [*_position(env).tolist(), *data.body_xquat[env.pot_body_id].tolist()],
            "speed": float(np.linalg.norm(data.get_body_xvelp(env.pot.root_body))),
            "success": bool(env._check_success()),
        }

    def place(self, camera: str, position: list[float], quaternion: list[float], fovy: float) -> dict[str, Any]:
        """Put a camera, which stays where it is on what it is fixed to, to a pose in the world as that stands now; its
        field of view in deg.
        """
        model, data = self._env.sim.model, self._env.sim.data
        number = model.camera_name2id(camera)
        body = model.cam_bodyid[number]
        turned, back, away = np.empty(4), np.empty(4), np.empty(3)
        mujoco.mju_negQuat(back, data.body_xquat[body])
        mujoco.mju_rotVecQuat(away, np.array(position) - data.body_xpos[body], back)
        mujoco.mju_mulQuat(turned, back, np.array(quaternion))
        model.cam_pos[number], model.cam_quat[number], model.cam_fovy[number] = away, turned, fovy
        self._env.sim.forward()
        return {}

    def render(self, camera: str, size: int) -> dict[str, Any]:
        """A square RGB picture as robosuite draws it."""
        picture = self._env.sim.render(camera_name=camera, width=size, height=size)[::-1]
        return {"rgb": base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode()}


def _position(env: Any) -> np.ndarray:
    return env.sim.data.body_xpos[env.pot_body_id]


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever robosuite prints is no answer
    world = TwoArmLift()
    orders = {name: getattr(world, name) for name in ("about", "reset", "advance", "place", "render")}
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = orders[order.pop("do")](**order)
        except (RuntimeError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
