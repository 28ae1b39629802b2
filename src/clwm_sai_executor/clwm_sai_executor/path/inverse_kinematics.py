"""Inverse kinematics of both arms by mink: poses of the tool centre points in, joints that follow them out.

Imports mink and MuJoCo, which the executor does without otherwise: `pose_solver.py` imports it when it is needed.
"""

from __future__ import annotations

from dataclasses import replace

import daqp  # noqa: F401 - mink's QP solver, which would be missed in the first solution only
import mink
import mujoco
import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import ARM_JOINTS, ROW_DT
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor.events import SIDES
from clwm_sai_executor.path.limits import MotionLimits

Array = NDArray[np.float64]

_ARMS = (slice(0, ARM_JOINTS), slice(ARM_JOINTS, 2 * ARM_JOINTS))
_BEND = 0.1  # rad that the elbow stays bent
_ROTATION_COST = 0.3  # m/rad: what a rotation counts beside a translation
# Beside the poses' cost of 1. It chooses among the joints that have the pose, and where a small motion of the tool
# takes a large one of the joints it gives up a little of the pose: the damping at singularities.
_POSTURE_COST = 1e-3
_POSTURE_STEP = 0.02  # rad a row that the elbow returns to its posture, all joints together
_PULL_DAMPING = 1e-6  # m^2/rad^2
_DAMPING = 0.1  # of a step, times the squared error before it: far from a pose that cannot be reached nothing swings
_ITERATIONS = 4  # at most
_SHARES = (1.0, 0.5, 0.25, 0.125)  # of a step that are tried until one comes nearer to the poses
_MET = 2e-5  # m (and, by its cost, rad) that count as the pose itself
_NORM_TOLERANCE = 1e-3


class DualArmInverseKinematics:
    """Solves rows one after the other, each starting from the joints of the one before."""

    def __init__(self, robot: RobotDescription, limits: MotionLimits | None = None) -> None:
        """limits: positions and velocities that rows keep; by default the robot's."""
        kinematics = DualArmKinematics(robot)
        self._limits = _short_of_stretched(limits or MotionLimits.of(robot), kinematics, robot)
        self._home = robot.home
        self._configuration = mink.Configuration(kinematic_model(kinematics, len(robot.left.joint_names)))
        self._reach = _Reach(len(self._home))
        self._posture = mink.PostureTask(self._configuration.model, cost=_POSTURE_COST)
        self._tools = [
            mink.FrameTask(side, "site", position_cost=1.0, orientation_cost=_ROTATION_COST, lm_damping=_DAMPING)
            for side in SIDES
        ]

    def poses(self, joints: Array) -> Array:
        """Poses (2, 7), xyz [m] and quaternion xyzw of the tool centre points in the world, for joints (14,) rad."""
        self._configuration.update(np.asarray(joints, dtype=np.float64))
        tools = [self._configuration.get_transform_frame_to_world(side, "site") for side in SIDES]
        return np.array([tool.wxyz_xyz for tool in tools])[:, [4, 5, 6, 1, 2, 3, 0]]

    def rows(self, start_joints: Array, poses: Array, posture: Array | None = None) -> tuple[Array, Array]:
        """Joints (n, 14) [rad] whose poses come as near as the limits allow to `poses` (n, 2, 7), left arm first.

        start_joints: (14,) one row before the first. posture: (14,) joints that the arms' redundancy is drawn to; by
        default home. Poses are xyz [m] and a quaternion xyzw of either sign in the world frame. Returns the joints and
        the residuals (n, 2, 2): how far [m] and how many rad each tool centre point is from its pose. Joints outside
        their limits are led back in. Raises ValueError for numbers that are no joints or no poses.
        """
        if not (np.isfinite(start_joints).all() and np.isfinite(poses).all()):
            raise ValueError("joints or poses are not finite; expected numbers in rad, m and unit quaternions")
        if (np.abs(np.linalg.norm(poses[..., 3:], axis=-1) - 1.0) > _NORM_TOLERANCE).any():
            raise ValueError("a pose has a quaternion that is not of length 1; normalise it, in the order xyzw")
        posture = self._home if posture is None else posture
        joints, residuals = np.empty((len(poses), len(self._home))), np.empty((len(poses), 2, 2))
        before = np.array(start_joints, dtype=np.float64)
        self._configuration.update(before)
        for index, targets in enumerate(_transforms(poses)):
            residuals[index] = self._solve(before, targets, posture)
            before = joints[index] = self._configuration.q.copy()
        return joints, residuals

    def _solve(self, before: Array, targets: Array, posture: Array) -> Array:
        """Move the configuration from `before` (14,) to transforms (2, 7) wxyz_xyz. Returns the residuals (2, 2)."""
        self._reach.allow(before, self._limits)
        self._posture.set_target(before + self._pull(posture - before))
        for tool, target in zip(self._tools, targets, strict=True):
            tool.set_target(mink.SE3(target))
        residuals = self._residuals()
        for _ in range(_ITERATIONS):
            residuals = self._improve(residuals)
            if _error(residuals) < _MET:
                break
        return residuals

    def _pull(self, way: Array) -> Array:
        """What of a way (14,) to the posture the elbows go in one row, with the tools where they are."""
        model = self._configuration
        jacobians = np.stack(
            [model.get_frame_jacobian(side, "site")[:, part] for side, part in zip(SIDES, _ARMS, strict=True)]
        )
        transposed, ways = jacobians.transpose(0, 2, 1), way.reshape(2, 7, 1)
        # Without the part of it that moves a tool: the projection on the null space, damped at singularities.
        moving = np.linalg.solve(jacobians @ transposed + _PULL_DAMPING * np.eye(6), jacobians @ ways)
        idle = ways - transposed @ moving
        length = np.linalg.norm(idle, axis=1, keepdims=True)
        return (idle * (_POSTURE_STEP / np.maximum(length, _POSTURE_STEP))).ravel()

    def _improve(self, residuals: Array) -> Array:
        """One step of Gauss and Newton's, within reach. Returns the residuals (2, 2) after it."""
        before = self._configuration.q.copy()
        try:
            step = mink.solve_ik(
                self._configuration, [*self._tools, self._posture], dt=1.0, solver="daqp", limits=[self._reach]
            )
        except mink.NoSolutionFound:
            return residuals  # by rounding only: to stay is always allowed
        # Beyond their reach arms would swing to and fro by whole steps.
        for share in _SHARES:
            # The solver's rounding stays within reach, too.
            self._configuration.update(np.clip(before + share * step, self._reach.lower, self._reach.upper))
            after = self._residuals()
            if _error(after) < max(_error(residuals), _MET):
                return after
        self._configuration.update(before)
        return residuals

    def _residuals(self) -> Array:
        errors = np.array([tool.compute_error(self._configuration) for tool in self._tools])
        return np.linalg.norm(errors.reshape(2, 2, 3), axis=2)


class _Reach(mink.Limit):
    """The joints that a row may have: within their ranges, and no farther from the row before than velocities allow."""

    def __init__(self, joints: int) -> None:
        self._sides = np.vstack([np.eye(joints), -np.eye(joints)])
        self.lower = self.upper = np.zeros(joints)

    def allow(self, before: Array, limits: MotionLimits) -> None:
        """From joints `before` (14,), which are always allowed themselves, also outside their range."""
        way = limits.velocity * ROW_DT
        self.lower = np.minimum(np.maximum(limits.lower, before - way), before)
        self.upper = np.maximum(np.minimum(limits.upper, before + way), before)

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> mink.Constraint:
        q = configuration.q
        return mink.Constraint(G=self._sides, h=np.concatenate([self.upper - q, q - self.lower]))


def _error(residuals: Array) -> float:
    """What the solver minimises of residuals (2, 2), as one number [m]."""
    return float(np.linalg.norm(residuals * (1.0, _ROTATION_COST)))


def _short_of_stretched(limits: MotionLimits, kinematics: DualArmKinematics, robot: RobotDescription) -> MotionLimits:
    """The same limits without the stretched arm, from where the elbow could bend to either side and might not return.

    It costs a millimetre of reach. The side is that of `home`; both arms are of one type. The elbow is the joint that
    alone changes most how far the wrist is from the shoulder; an arm of fewer than four joints has none.
    """
    home, shoulder, wrist = robot.home, 2, len(robot.left.joint_names) - 1
    if wrist <= shoulder:
        return limits
    reach = {}
    for joint in range(shoulder, wrist):
        joints = np.tile(home, (1000, 1))
        joints[:, joint] = np.linspace(limits.lower[joint], limits.upper[joint], len(joints))
        links = kinematics.link_frames(joints)[:, 0, :, :3, 3]
        reach[joint] = np.linalg.norm(links[:, wrist] - links[:, shoulder], axis=1)
    first = max(reach, key=lambda joint: np.ptp(reach[joint]))
    stretched = np.linspace(limits.lower[first], limits.upper[first], 1000)[reach[first].argmax()]
    lower, upper = limits.lower.copy(), limits.upper.copy()
    for elbow in (first, ARM_JOINTS + first):
        if home[elbow] < stretched:
            upper[elbow] = min(upper[elbow], stretched - _BEND)
        else:
            lower[elbow] = max(lower[elbow], stretched + _BEND)
    return replace(limits, lower=lower, upper=upper)


def kinematic_model(kinematics: DualArmKinematics, arm_joints: int) -> mujoco.MjModel:
    """Two chains of hinges without mass or shape, placed as the robot's URDF has them, with a site at each tool.

    After an arm's `arm_joints` come its masked ones, at the base, where they move nothing. Built from the forward
    kinematics that everything else uses, so that both agree.
    """
    spec = mujoco.MjSpec()
    at_zero, quarter_turns = np.zeros(2 * ARM_JOINTS), np.full(2 * ARM_JOINTS, np.pi / 2)
    frames, turned = kinematics.link_frames(np.stack([at_zero, quarter_turns]))
    for arm, (side, tool) in enumerate(zip(SIDES, kinematics.poses(at_zero), strict=True)):
        body, before = spec.worldbody, np.eye(4)
        for joint in range(1, arm_joints + 1):
            body = body.add_body(name=f"{side}{joint}", mass=1.0, inertia=[1.0, 1.0, 1.0], explicitinertial=True)
            body.pos, body.quat = _placement(before, frames[arm, joint])
            still, moved = (np.linalg.inv(links[arm, joint - 1]) @ links[arm, joint] for links in (frames, turned))
            turn = (np.linalg.inv(still) @ moved)[:3, :3]
            # A quarter turn R about an axis has (R - R^T) / 2 for the axis' cross product.
            axis = (turn - turn.T)[[2, 0, 1], [1, 2, 0]] / 2.0
            body.add_joint(name=f"{side}{joint}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis)
            before = frames[arm, joint]
        site = body.add_site(name=side)
        site.pos, site.quat = _placement(before, mink.SE3(_transforms(tool)).as_matrix())
        for joint in range(arm_joints + 1, ARM_JOINTS + 1):
            idle = spec.worldbody.add_body(name=f"{side}{joint}", mass=1.0, inertia=[1.0] * 3, explicitinertial=True)
            idle.add_joint(name=f"{side}{joint}", type=mujoco.mjtJoint.mjJNT_HINGE)
    return spec.compile()


def _transforms(poses: Array) -> Array:
    """Poses (..., 7), xyz and quaternion xyzw, in mink's order: unit quaternion wxyz, xyz."""
    unit = poses[..., 3:] / np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
    return np.concatenate([unit[..., [3, 0, 1, 2]], poses[..., :3]], axis=-1)


def _placement(parent: Array, child: Array) -> tuple[Array, Array]:
    """Position (3,) and quaternion wxyz (4,) of a frame (4, 4) seen from another one."""
    placement = mink.SE3.from_matrix(np.linalg.inv(parent) @ child)
    return placement.translation(), placement.rotation().wxyz
