"""Run as a script: becomes another program, which gets SIGTERM when the process that started it dies.

    python -I -S tied_process.py PARENT_PID PROGRAM ARGUMENT...

Imports nothing that takes time, and stands between fork and exec in place of a `preexec_fn`, which may dead-lock in a
process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def command(program: list[str], python: str = sys.executable) -> list[str]:
    """What to start from the main thread instead of `program`: the signal comes when the starting thread ends."""
    return [python, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *program]


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f"the process {parent} that started {program[0]} has died")
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]} cannot be started ({error.strerror})")


if __name__ == "__main__":
    main()
