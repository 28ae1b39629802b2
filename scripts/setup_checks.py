"""What a machine must have before the project can be set up: each lack in one sentence with its remedy.

Only the standard library, and syntax that any Python 3.7 reads: a wrong Python gets a sentence, not a traceback.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

NEEDED_BYTES = 6_000_000_000
SUPPORTED = ((3, 10), (3, 11), (3, 12))
CANDIDATES = ("python3", "python3.12", "python3.11", "python3.10")


class MachineError(RuntimeError):
    """This machine cannot be set up as it is; the message says what is missing and how to get it."""


def ros_prefix(environment: Mapping[str, str]) -> Path | None:
    """Folder of the sourced ROS 2 Jazzy; None without one. Raises MachineError for another distribution."""
    distribution = environment.get("ROS_DISTRO", "")
    if not distribution:
        return None
    if distribution != "jazzy":
        raise MachineError(
            f"ROS 2 {distribution} is sourced, but this stack speaks Jazzy; open a shell without it "
            "(Jazzy wheels are then installed) or source /opt/ros/jazzy/setup.bash"
        )
    for prefix in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if (Path(prefix) / "share" / "rclpy").is_dir() and (Path(prefix) / "setup.bash").is_file():
            return Path(prefix)
    raise MachineError("ROS_DISTRO is jazzy, but no folder of AMENT_PREFIX_PATH has rclpy; source its setup.bash again")


def python_version(command: str) -> tuple[int, int] | None:
    """(major, minor) of an interpreter; None when it does not run."""
    try:
        done = subprocess.run(
            [command, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, timeout=20
        )
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def suitable_python(must_be_first: bool = False, candidates: tuple[str, ...] = CANDIDATES) -> str:
    """Command of the first Python 3.10 to 3.12. `must_be_first`: an installed ROS works with its own `python3` alone.

    Raises MachineError when there is none.
    """
    seen = []
    for command in candidates[:1] if must_be_first else candidates:
        version = python_version(command)
        if version in SUPPORTED:
            return shutil.which(command) or command
        if version is not None:
            seen.append(f"{command} is {version[0]}.{version[1]}")
    found = f" ({', '.join(seen)})" if seen else ""
    raise MachineError(
        f"no Python 3.10, 3.11 or 3.12 found{found}; install one (apt-get install python3.11 python3.11-venv)"
    )


def problems(python: str, root: Path, needs_compiler: bool) -> Iterator[str]:
    """Sentences, each naming one thing that is missing and its remedy."""
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        yield f"{free / 1e9:.1f} GB are free under {root}, {NEEDED_BYTES / 1e9:.0f} GB are needed; free disk space"
    if needs_compiler and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        yield "no C++ compiler found; install one (apt-get install build-essential)"
    if needs_compiler and not _has_headers(python):
        yield f"{python} has no C headers (Python.h); install them (apt-get install python3-dev, or python3.11-dev)"
    if not _has_venv(python):
        yield f"{python} cannot create virtual environments; install its venv (apt-get install python3-venv)"
    if not has_egl():
        yield (
            "libEGL.so.1 cannot be loaded, so cameras cannot be rendered; install it "
            "(apt-get install libegl1 libgl1 libgl1-mesa-dri)"
        )


def has_egl() -> bool:
    """Whether the library that renders without a display can be loaded."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


def _has_headers(python: str) -> bool:
    code = "import os, sysconfig; assert os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h'))"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def _has_venv(python: str) -> bool:
    return subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0
