"""Runs all tests, and those few that failed once more: what a paused machine broke passes then, what is wrong does not.

A test of real processes in real time can fail on a machine that stands still for a second. More than a few failures
are no accident and are not run again. Tests that passed at the second try only are named at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FEW = 3
ROOT = Path(__file__).resolve().parents[1]
_FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"
_TESTS_FAILED = 1  # pytest's exit status; others are errors of the run itself, or an interruption


def pytest(*options: str) -> int:
    try:
        return subprocess.run([sys.executable, "-m", "pytest", "-q", *options], cwd=ROOT).returncode
    except KeyboardInterrupt:  # pytest has had it too, and has said so
        return 130


def failed_tests() -> list[str]:
    """Names of the tests that failed in the last run, as pytest keeps them."""
    return sorted(json.loads(_FAILED.read_text())) if _FAILED.is_file() else []


def main(options: list[str]) -> int:
    status = pytest("--cache-clear", *options)
    failed = failed_tests()
    if status != _TESTS_FAILED or not 1 <= len(failed) <= FEW:
        return status
    print(f"\n{len(failed)} failed; run once more:", *failed, sep="\n  ", flush=True)
    status = pytest("--last-failed", "--last-failed-no-failures=none", *options)
    if status == 0:
        print("\nPassed only when run again; if one is named often, it is at fault:", *failed, sep="\n  ")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
