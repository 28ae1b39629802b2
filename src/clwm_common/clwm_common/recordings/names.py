"""What a recording of `clwm record` has in it, besides ROS's own messages: an MCAP file of one episode."""

from __future__ import annotations

from clwm_common.robot.camera_source import CameraSource

FORMAT = "clwm-recording/1"
FACTS, SUMMARY = "clwm_recording", "clwm_summary"  # metadata: known at the beginning, and at the end
ROBOT_FILE, POLICY_FILE = "robot.yaml", "policy.json"  # attachments
SUFFIX = ".mcap"

STATE, REQUEST, MODE = "/clwm/state", "/clwm/chunk_request", "/clwm/mode"
TASK, VERDICT = "/clwm/task_status", "/clwm/verdict"
EPISODE, TELEOP = "/clwm_sim/episode", "/clwm/teleop"


def recorded_pictures(source: CameraSource) -> str:
    """Topic of a camera's pictures in a recording, where they are compressed. source: with its topics."""
    return source.topic if source.transport == "compressed" else f"{source.topic}/compressed"
