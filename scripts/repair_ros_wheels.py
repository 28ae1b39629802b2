#!/usr/bin/env python3
"""Point the CMake files of the ROS wheels at this machine's Python and numpy headers.

The `ros-*` wheels carry exported CMake targets that name the include folders of the machine on which the wheels were
built (`/opt/python/cp311-cp311/include/python3.11` and the numpy folder beside it). CMake refuses targets whose include
folders do not exist, so no interface package can be built against them. This script rewrites those two paths to the
ones of the interpreter that runs it, and nothing else. A second run finds nothing left to change.

    .venv/bin/python scripts/repair_ros_wheels.py
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy

# A path starts after a quote or a list separator; CMake variables ("${_IMPORT_PREFIX}/include") must not match.
_PYTHON_INCLUDE = re.compile(r'(?<=[";])/[^";$\n]*/include/python3\.\d+(?=[";])')
_NUMPY_INCLUDE = re.compile(r'(?<=[";])/[^";$\n]*/numpy/_?core/include(?=[";])')


def repair_text(text: str, python_include: str, numpy_include: str) -> str:
    """Return a CMake file's text with foreign Python and numpy include folders replaced."""
    text = _PYTHON_INCLUDE.sub(lambda _: python_include, text)
    return _NUMPY_INCLUDE.sub(lambda _: numpy_include, text)


def repair(share: Path, python_include: str, numpy_include: str) -> int:
    """Rewrite every CMake file under `share`; return how many changed."""
    changed = 0
    for path in sorted(share.rglob("*.cmake")):
        before = path.read_text(encoding="utf-8")
        after = repair_text(before, python_include, numpy_include)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed += 1
    return changed


def main() -> int:
    if sys.prefix == sys.base_prefix:
        print("repair_ros_wheels: run me with the virtual environment's Python (.venv/bin/python)", file=sys.stderr)
        return 2
    share = Path(sys.prefix) / "share"
    python_include = sysconfig.get_path("include")
    if not (Path(python_include) / "Python.h").exists():
        print(
            f"repair_ros_wheels: {python_include}/Python.h does not exist; install the Python headers "
            f"(apt-get install python3.{sys.version_info.minor}-dev)",
            file=sys.stderr,
        )
        return 1
    changed = repair(share, python_include, numpy.get_include())
    print(f"repaired the include folders of {changed} CMake files under {share}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
