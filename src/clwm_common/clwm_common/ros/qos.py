"""Every QoS profile of the stack, in one place, so that two ends of a topic cannot disagree."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(
    reliability: ReliabilityPolicy, depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(reliability=reliability, durability=durability, history=HistoryPolicy.KEEP_LAST, depth=depth)


# Cameras, joint states, clock: only the newest counts, a lost one is followed by the next.
SENSOR = _profile(ReliabilityPolicy.BEST_EFFORT, 1)
# The same for a subscriber that pairs samples by stamp and must not lose one while it is busy.
SENSOR_BUFFERED = _profile(ReliabilityPolicy.BEST_EFFORT, 5)
# The same for a recorder, whose own pauses must not look like gaps.
SENSOR_DEEP = _profile(ReliabilityPolicy.BEST_EFFORT, 500)
# The measured state that the executor streams.
STATE = _profile(ReliabilityPolicy.BEST_EFFORT, 5)
# Requests and their answers on the critical path: none may be lost, order matters.
CRITICAL = _profile(ReliabilityPolicy.RELIABLE, 10)
# A human's targets: only the newest counts, and a release of the dead-man switch must not be lost.
TELEOP = _profile(ReliabilityPolicy.RELIABLE, 5)
# Trajectories and gripper commands as they are sent: a newer one replaces an older one.
SETPOINT = _profile(ReliabilityPolicy.RELIABLE, 1)
# As ros2_controllers subscribe to them: with the system's defaults, which are best effort with Fast DDS.
CONTROLLER = _profile(ReliabilityPolicy.BEST_EFFORT, 1)
# The same for a simulated controller of streamed positions, which acts on each in its own time.
CONTROLLER_STREAM = _profile(ReliabilityPolicy.BEST_EFFORT, 10)
# Reports, diagnostics, episode status: read by people and recorders.
REPORT = _profile(ReliabilityPolicy.RELIABLE, 50)
# What a late joiner must still learn.
LATCHED = _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)
# The same where several speak at once.
VERDICT = _profile(ReliabilityPolicy.RELIABLE, 10, DurabilityPolicy.TRANSIENT_LOCAL)
# The same for a subscriber of many publishers, each of which has a last word.
LATCHED_BY_ALL = _profile(ReliabilityPolicy.RELIABLE, 100, DurabilityPolicy.TRANSIENT_LOCAL)
