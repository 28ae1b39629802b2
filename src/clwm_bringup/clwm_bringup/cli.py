"""`clwm`: one command line for the whole stack. A command is imported only when called: --help answers at once."""

from __future__ import annotations

import signal
import sys

from clwm_common.lazy_commands import CommandPlace, lazy_group
from clwm_common.model_files import ModelFilesError
from clwm_common.robot import RobotError

COMMANDS = {
    "demo": CommandPlace("clwm_bringup.commands.demo", "demo", "Run four episodes; table, video, timeline and report"),
    "up": CommandPlace("clwm_bringup.commands.up", "up", "Start the stack and keep it running until Ctrl-C"),
    "task": CommandPlace("clwm_bringup.commands.operator", "task", "Give the arms of the running stack a task"),
    "mode": CommandPlace("clwm_bringup.commands.operator", "mode", "Choose who moves the arms: policy, hold or estop"),
    "watch": CommandPlace("clwm_bringup.commands.operator", "watch", "Watch the running stack"),
    "teleop": CommandPlace("clwm_bringup.commands.teleop", "teleop", "Take the arms over from a terminal"),
    "eval": CommandPlace(
        "clwm_embodichain.evaluation_command", "evaluate", "Success and latency under a virtual clock"
    ),
    "chaos": CommandPlace("clwm_bringup.commands.chaos", "chaos", "Let faults loose on the stack, and check the arms"),
    "soak": CommandPlace("clwm_bringup.commands.soak", "soak", "Run the policy for an hour, and watch what grows"),
    "calibrate": CommandPlace("clwm_embodichain.calibrate", "calibrate", "Measure how far speculation may be trusted"),
    "bench": CommandPlace("clwm_bringup.commands.bench", "bench", "Measure what the stack claims"),
    "replay": CommandPlace("clwm_bringup.commands.replay", "replay", "Make a recorded episode's chunks once more"),
    "export": CommandPlace("clwm_bringup.commands.export", "export", "Write the policy's graphs for ONNX Runtime"),
    "doctor": CommandPlace("clwm_bringup.commands.doctor", "doctor", "Check the whole installation, with remedies"),
    "preflight": CommandPlace("clwm_bringup.commands.preflight", "preflight", "Check a robot before it is commanded"),
    "security": CommandPlace("clwm_bringup.commands.security", "security", "Write the graph's SROS2 policy"),
    "record": CommandPlace("clwm_embodichain.record", "record", "Record the expert's episodes as training data"),
    "train-encoder": CommandPlace("clwm_embodichain.encoder_training", "main", "Train the nano image encoder", True),
    "train-policy": CommandPlace(
        "clwm_embodichain.train_policy", "main", "Train the policy, on recorded episodes or online"
    ),
}
EPILOG = (
    "Examples:  clwm demo  |  clwm up --task place_block --sai sequential  |  "
    "clwm eval --task lift_tray --episodes 20 --sai fixed:0.5  |  clwm doctor"
)
app = lazy_group(COMMANDS, "A causal latent world model on two arms: start it, show it, measure it, train it.", EPILOG)


def main() -> None:
    """Entry point. Errors in what the user gave end in one sentence, not a traceback."""
    from clwm_bringup.graph import GraphError

    # Whoever ends a command by SIGTERM wants what Ctrl-C gives: a clean end, and the report of what was done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="clwm")
    except (GraphError, ModelFilesError, RobotError) as error:
        print(f"clwm: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
