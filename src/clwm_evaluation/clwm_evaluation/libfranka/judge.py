"""franka-sim's judge of an arm's commands, in a process of its own environment."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SCRIPT = Path(__file__).with_name("judge_process.py")
_REMEDY = "make an environment with `python -m venv E && E/bin/pip install franka-sim==1.1.7` and name its Python"


class JudgeError(RuntimeError):
    """The judge cannot be started, or ended; the message says why, and what to do."""


@dataclass(frozen=True)
class Verdict:
    """Of one motion. refused_at: the first cycle whose command was refused, or None; error: as a robot names it."""

    refused_at: int | None
    error: str
    detail: str


class Judge:
    """Judges one motion after the other, each from rest; to be closed."""

    def __init__(self, python: str) -> None:
        """python: of an environment with franka-sim. Raises JudgeError when it has none."""
        try:
            probe = subprocess.run([python, "-c", "import franka_sim.limits.checker"], capture_output=True, text=True)
        except OSError as error:
            raise JudgeError(f"{python} cannot be started ({error}); {_REMEDY}") from None
        if probe.returncode:
            raise JudgeError(f"{python} has no franka-sim ({probe.stderr.strip().splitlines()[-1]}); {_REMEDY}")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([python, str(_SCRIPT)], text=True, **pipes)

    def judge(self, start: NDArray[np.float64], commands: NDArray[np.float64]) -> Verdict:
        """Of positions (cycles, 7) rad, a millisecond each, of an arm that rests at `start` (7,) rad."""
        try:
            self._process.stdin.write(json.dumps({"start": start.tolist(), "commands": commands.tolist()}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise JudgeError(
                f"the judge ended in a motion of {len(commands)} commands; run {_SCRIPT} by hand to see why"
            )
        return Verdict(**json.loads(line))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
