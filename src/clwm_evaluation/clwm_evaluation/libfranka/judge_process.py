"""franka-sim's judge of an arm's commands, run by the Python of an environment that has it.

Lines on standard input: {"start": (7,) rad, "commands": (cycles, 7) rad}, one motion each. Answers, a line each:
{"refused_at": cycle or null, "error": name, "detail": text}.
"""

import json
import sys

from franka_sim.control_modes import ControlMode
from franka_sim.limits.checker import MotionLimitChecker

ZERO = [0.0] * 7


def judged(number: int, start: list[float], commands: list[list[float]]) -> dict:
    checker = MotionLimitChecker(enforce=True)
    state = {"q": start, "q_d": start, "dq_d": ZERO, "ddq_d": ZERO}
    checker.start_motion(ControlMode.POSITION, state, motion_id=number)
    position = start
    for cycle, target in enumerate(commands):
        command = {"message_id": cycle + 1, "q_c": target}
        # The arm follows: limits of velocity depend on where it is.
        if (violation := checker.check(command, position)) is not None:
            return {"refused_at": cycle, "error": violation.error_name, "detail": violation.describe()}
        checker.record(command)
        position = target
    return {"refused_at": None, "error": "", "detail": ""}


for number, line in enumerate(sys.stdin, start=1):
    print(json.dumps(judged(number, **json.loads(line))), flush=True)
