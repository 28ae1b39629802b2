"""Another simulator in a process of an environment of its own, which is told what to do by JSON lines."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST_ANSWER = 1 << 22  # characters


def probed(python: str, name: str, code: str, error: type[Exception], remedy: str) -> str:
    """What `code` prints in the Python of the simulator's environment, such as its version.

    Raises `error` where that Python cannot be started, or fails at it; remedy: what to do then.
    """
    try:
        # Isolated: what is on the path of this project's environment is not that one's.
        found = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    except OSError as reason:
        text = f"{python} cannot be started ({reason}); name the Python of {name}'s environment"
        raise error(text) from None
    if found.returncode:
        raise error(f"{python} has no {name} ({found.stderr.strip().splitlines()[-1]}); {remedy}")
    return found.stdout.strip()


class SimulatorProcess:
    """A script that answers orders one by one; to be closed. Nothing that it sends is more than JSON."""

    def __init__(
        self,
        name: str,
        python: str,
        script: Path,
        log: Path,
        error: type[Exception],
        environment: Mapping[str, str] | None = None,
        patience: float = 600.0,
    ) -> None:
        """name: of the simulator, for messages. log: where its other words go. environment: None for this one's.

        patience: s that an answer may take.
        """
        self._name, self._log, self._error, self._patience = name, log, error, patience
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                [python, "-I", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                env=environment,
            )

    def order(self, do: str, **what: Any) -> dict[str, Any]:
        """The answer to an order. Raises the error given when it is refused, or the process ends instead."""
        line, is_there = "", []
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self._process.stdin.flush()
            is_there, _, _ = select.select([self._process.stdout], [], [], self._patience)
            line = self._process.stdout.readline(LONGEST_ANSWER) if is_there else ""
        if not line.endswith("\n"):
            is_running = self._process.poll() is None
            self.kill()  # what it still sends would be taken for the next answer
            if len(line) == LONGEST_ANSWER:
                how = f"answered more than {LONGEST_ANSWER} characters to"
            else:
                how = "ended at" if is_there or not is_running else f"has not answered for {self._patience:g} s to"
            raise self._error(f"{self._name} {how} '{do}': {self._log.read_text()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise self._error(f"{self._name} refused '{do}': {answer['error']}")
        return answer

    def kill(self) -> None:
        """End it at once; orders are refused from then on."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):  # of one that has ended already
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
