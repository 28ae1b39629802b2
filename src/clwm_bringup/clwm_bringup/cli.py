"""`clwm`: one command line for the whole stack. A command is imported only when called: --help answers at once."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence

from clwm_common import ros_environment
from clwm_common.files.model_files import ModelFilesError
from clwm_common.robot.description import RobotError
from clwm_common.terminal.lazy_commands import CommandPlace, lazy_group

COMMANDS = {
    "demo": CommandPlace("clwm_operator.commands.demo", "demo", "Run four episodes; table, video, timeline and report"),
    "up": CommandPlace("clwm_bringup.commands.up", "up", "Start the stack and keep it running until Ctrl-C"),
    "task": CommandPlace("clwm_operator.commands.operator", "task", "Give the arms of the running stack a task"),
    "verdict": CommandPlace("clwm_operator.commands.operator", "verdict", "Say that the task is done, or has failed"),
    "mode": CommandPlace("clwm_operator.commands.operator", "mode", "Choose who moves the arms: policy, hold or estop"),
    "recover": CommandPlace(
        "clwm_operator.commands.operator", "recover", "Let a stopped Franka arm take commands again"
    ),
    "watch": CommandPlace("clwm_operator.commands.operator", "watch", "Watch the running stack"),
    "console": CommandPlace("clwm_operator.commands.console", "console", "Serve the operator's page for a browser"),
    "foxglove": CommandPlace("clwm_operator.commands.foxglove", "foxglove", "Serve the running stack for Foxglove"),
    "teleop": CommandPlace(
        "clwm_operator.commands.teleop", "teleop", "Take the arms over: keyboard, gamepad or leader"
    ),
    "eval": CommandPlace(
        "clwm_evaluation.success_rates.command", "evaluate", "Success under a virtual clock, of one task or a suite"
    ),
    "chaos": CommandPlace("clwm_chaos.command", "chaos", "Let faults loose on the stack, and check the arms"),
    "soak": CommandPlace("clwm_chaos.soak.command", "soak", "Run the policy for an hour, and watch what grows"),
    "calibrate": CommandPlace(
        "clwm_evaluation.calibration.calibrate", "calibrate", "Bounds that speculation may trust"
    ),
    "reproduce": CommandPlace(
        "clwm_evaluation.reproduce.command", "reproduce", "Make a shipped model from nothing, step by step"
    ),
    "bench": CommandPlace("clwm_evaluation.commands", "bench", "Measure what the stack claims"),
    "results": CommandPlace("clwm_evaluation.pages.results", "results", "Write docs/results.md from the kept results"),
    "record": CommandPlace("clwm_operator.commands.record", "record", "Record every episode of the running stack"),
    "recordings": CommandPlace("clwm_operator.commands.recordings", "recordings", "List what was recorded"),
    "label": CommandPlace("clwm_operator.commands.recordings", "label", "Say of recordings how they ended"),
    "replay": CommandPlace("clwm_operator.commands.replay", "replay", "Make a recorded episode's chunks once more"),
    "export": CommandPlace("clwm_bringup.commands.export", "export", "Write the policy's graphs for ONNX Runtime"),
    "doctor": CommandPlace("clwm_bringup.commands.doctor", "doctor", "Check the whole installation, with remedies"),
    "preflight": CommandPlace("clwm_bringup.commands.preflight", "preflight", "Check a robot before it is commanded"),
    "new-robot": CommandPlace("clwm_bringup.commands.new_robot", "new_robot", "Describe a robot, from its URDF"),
    "security": CommandPlace("clwm_bringup.commands.security", "security", "Write the graph's SROS2 policy"),
    "data": CommandPlace("clwm_embodichain.commands", "app", "Scenes, goals and experts as a source of experience"),
    "describe": CommandPlace("clwm_description.commands", "app", "Write scenes and robots down for other simulators"),
    "train-encoder": CommandPlace("clwm_embodichain.training.encoder.train", "main", "Train the image encoder", True),
    "train-policy": CommandPlace(
        "clwm_embodichain.training.policy.train", "main", "Train the policy, on recorded episodes or online"
    ),
    "train-success": CommandPlace(
        "clwm_embodichain.training.success.train", "train", "Train the policy's estimate of its own success"
    ),
}
EPILOG = (
    "Examples:  clwm demo  |  clwm up --task place_block --sai sequential  |  "
    "clwm eval --task lift_tray --episodes 20 --sai fixed:0.5  |  clwm doctor"
)

# These do something, if not everything, in a Python without ROS.
WITHOUT_ROS = {
    *("recordings", "label"),
    *("eval", "chaos", "calibrate", "bench", "export", "security", "new-robot", "reproduce"),
    *("data", "describe", "train-encoder", "train-policy", "train-success"),
}

# What is wrong with a place that the user has named, and with nothing in the program.
_PLACES = {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.ENOSPC}


def _prepare(name: str) -> None:
    """No part of a command sees a setting with which ROS, or a cache, would fail; the doctor looks at them itself."""
    if name != "doctor":
        for note in ros_environment.prepare(is_needed=name not in WITHOUT_ROS):
            print(f"clwm: {note}", file=sys.stderr)


app = lazy_group(
    COMMANDS, "A causal latent world model on two arms: start it, show it, measure it, train it.", EPILOG, _prepare
)


def main() -> None:
    """Entry point. Errors in what the user gave end in one sentence, not a traceback."""
    from clwm_bringup.graph import GraphError

    # Whoever ends a command by SIGTERM, or closes its terminal, wants what Ctrl-C gives: a clean end, and the report of
    # what was done.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that lacks a character gets another one
    try:
        if problem := undecodable(sys.argv[1:]):
            raise GraphError(problem)
        app(prog_name="clwm")
    except (GraphError, ModelFilesError, RobotError, ros_environment.RosEnvironmentError) as error:
        print(f"clwm: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if not ros_environment.ROS_PACKAGE.fullmatch(error.name or ""):
            raise
        print(
            f"clwm: this needs ROS, and this Python has no {error.name}; run `make setup` in a checkout",
            file=sys.stderr,
        )
        sys.exit(2)
    except OSError as error:
        if error.filename is None or error.errno not in _PLACES:
            raise
        where = f"clwm: {error.filename} cannot be read or written ({error.strerror})"
        print(f"{where}; name another place, or make room there", file=sys.stderr)
        sys.exit(2)


def undecodable(arguments: Sequence[str]) -> str:
    """What is wrong with the first argument that is not UTF-8, which neither ROS nor a file can carry; or empty."""
    for argument in arguments:
        raw = os.fsencode(argument)
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            shown = raw.decode(errors="replace")
            return (
                f"argument '{shown}' has the byte 0x{raw[error.start]:02X} at position {error.start}, which is not "
                "UTF-8; type it in a terminal that is set to UTF-8 (`locale` says which is in force)"
            )
    return ""
