"""What a machine must have before the project can be set up and run: every lack in one sentence, with its remedy.

Only the standard library, and syntax that any Python 3.7 reads: a wrong Python gets a sentence, not a traceback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import package_index

# bytes of disk in the project, and where pip unpacks, with PyTorch for the processor alone, and with CUDA's libraries
NEEDED_FOR_CPU = (6_000_000_000, 1_000_000_000)
NEEDED_FOR_GPU = (10_000_000_000, 3_000_000_000)
NEEDED_SHARED = 150_000_000  # four processes of a demo, with pictures and features between them
SUPPORTED = ((3, 10), (3, 11), (3, 12))
CANDIDATES = ("python3", "python3.12", "python3.11", "python3.10")
MODULES = ("ssl", "ctypes", "zlib", "bz2", "lzma", "pyexpat")  # a Python built without their headers lacks them
SHARED_MEMORY = Path("/dev/shm")
HERE = Path(__file__).resolve().parent
PACKAGES = tuple((HERE / "debian_packages.txt").read_text().split())
# MuJoCo draws by other means than EGL when it is told so.
OTHER_RENDERERS = ("osmesa", "glfw", "glx")


class MachineError(RuntimeError):
    """This machine cannot be set up as it is; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Lack:
    """One thing that is missing. packages: Debian's that bring it; none where a package is not the remedy."""

    sentence: str
    packages: tuple[str, ...] = ()


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


def suitable_python(must_be_first: bool = False, candidates: tuple[str, ...] = (sys.executable, *CANDIDATES)) -> str:
    """Command of the first Python 3.10 to 3.12, beginning with the one that runs this.

    must_be_first: an installed ROS works with its own `python3` alone. Raises MachineError when there is none.
    """
    seen = {}
    for command in CANDIDATES[:1] if must_be_first else candidates:
        version = python_version(command)
        if version in SUPPORTED:
            return shutil.which(command) or command
        if version is not None:
            seen[command] = f"{command} is {version[0]}.{version[1]}"
    found = f" ({', '.join(seen.values())})" if seen else ""
    raise MachineError(
        f"no Python 3.10, 3.11 or 3.12 found{found}; install one and name it: make PYTHON=<command> setup"
    )


def environment_fault(venv: Path, place: str) -> str | None:
    """Why the virtual environment `venv` cannot be used as it is; None when it can.

    place: what `clwm_place` in it must hold, the folder and the ROS installation that it was made for.
    """
    python = venv / "bin" / "python"
    if not venv.exists():
        return "there is none yet"
    if not python.exists():
        return f"its Python is gone: {python} -> {os.path.realpath(str(python))}"
    version = python_version(str(python))
    if version is None:
        return f"its Python does not run: {python} -> {os.path.realpath(str(python))}"
    if not (venv / "lib" / f"python{version[0]}.{version[1]}").is_dir():
        return f"its Python has become {version[0]}.{version[1]}, and its packages are another version's"
    file = venv / "clwm_place"
    if not file.exists():
        return "its making was interrupted"
    if file.read_text() != place:
        return f"it was made for {' with ROS '.join(file.read_text().split())}"
    return None


def lacks(python: str | None, root: Path) -> Iterator[Lack]:
    """What is missing to set the project up in `root` and to run it, in no more than a few seconds.

    python: the interpreter that `.venv` is to be made of; None where there is none, which is not said again.
    """
    yield from _disk_lacks(root)
    yield from _compiler_lacks()
    if python is not None:
        yield from _python_lacks(python)
    if os.environ.get("MUJOCO_GL", "").lower() not in OTHER_RENDERERS:
        fault = rendering_fault()
        if fault:
            yield Lack(f"cameras cannot be rendered: {fault}", ("libegl1", "libgl1", "libgl1-mesa-dri"))
    fault = package_index.fault(os.environ)
    if fault:
        yield Lack(*fault)


def has_gpu() -> bool:
    """Whether PyTorch is to come with CUDA's libraries. CLWM_GPU=1 says so where images are made, which see no GPU."""
    return os.environ.get("CLWM_GPU") == "1" or Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def shared_memory_fault() -> str | None:
    """What keeps the stack's processes from sharing memory. Needed to run, not to set up, as when an image is built."""
    remedy = "mount a tmpfs there (docker run --shm-size 256m)"
    if not os.access(str(SHARED_MEMORY), os.W_OK):
        return f"{SHARED_MEMORY} cannot be written, pictures and features go through it; {remedy}"
    free = shutil.disk_usage(str(SHARED_MEMORY)).free
    if free < NEEDED_SHARED:
        size = f"{free / 1e6:.0f} MB are free in {SHARED_MEMORY}"
        return f"{size}, {NEEDED_SHARED / 1e6:.0f} MB are needed for pictures and features; {remedy}"
    return None


def install_line(found: list[Lack]) -> str | None:
    """The one command that brings all packages, the README's and those of `found`; None where none is missing."""
    wanted = {name for lack in found for name in lack.packages}
    if not wanted:
        return None
    names = " ".join(sorted({*PACKAGES, *wanted}))
    return f"apt-get update && apt-get install -y --no-install-recommends {names}"


def _disk_lacks(root: Path) -> Iterator[Lack]:
    if not os.access(str(root), os.W_OK):
        yield Lack(f"{root} cannot be written by this user; use a checkout of your own")
    temporary = Path(tempfile.gettempdir())
    in_root, in_temporary = NEEDED_FOR_GPU if has_gpu() else NEEDED_FOR_CPU
    for folder, needed in ((root, in_root), (temporary, in_temporary)):
        free = shutil.disk_usage(str(folder)).free
        if free < needed:
            remedy = "free disk space" if folder == root else "free space there, or set TMPDIR to another folder"
            yield Lack(f"{free / 1e9:.1f} GB are free under {folder}, {needed / 1e9:.0f} GB are needed; {remedy}")


def _compiler_lacks() -> Iterator[Lack]:
    if not shutil.which("make"):
        yield Lack("no make found", ("make",))
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        yield Lack("no C++ compiler found", ("build-essential",))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "try.cpp"
        source.write_text("#include <string>\nint main() { return std::string().size(); }\n")
        fault = _fault([*compiler.split(), str(source), "-o", str(source.with_suffix(""))])
    if fault:
        yield Lack(f"the C++ compiler {compiler} cannot build a program: {fault}", ("build-essential",))


def _python_lacks(python: str) -> Iterator[Lack]:
    # The packages of another Python than the distribution's own carry its version in their names.
    own = os.path.realpath(python) == os.path.realpath("/usr/bin/python3")
    version = python_version(python)
    name = "python3" if own or version is None else f"python{version[0]}.{version[1]}"
    is_packaged = os.path.realpath(python).startswith("/usr/bin/")

    def packages(kind: str) -> tuple[str, ...]:
        return (f"{name}-{kind}",) if is_packaged else ()

    again = "" if is_packaged else f"; it was built or installed without them: use another Python than {python}"
    done = subprocess.run([python, "-c", _WHAT_IS_MISSING, *MODULES], stdout=subprocess.PIPE, text=True)
    missing = done.stdout.split()
    if "Python.h" in missing:
        yield Lack(f"{python} has no C headers (Python.h){again}", packages("dev"))
    if "venv" in missing or "ensurepip" in missing:
        yield Lack(f"{python} cannot create virtual environments (venv, ensurepip){again}", packages("venv"))
    modules = [name for name in missing if name in MODULES]
    if modules:
        yield Lack(f"{python} lacks the standard modules {', '.join(modules)}{again}", packages("venv"))


_WHAT_IS_MISSING = """
import importlib, os, sys, sysconfig
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print("Python.h")
for name in ["venv", "ensurepip"] + sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        print(name)
"""


def rendering_fault() -> str | None:
    """Why a camera's picture could not be drawn here; None when it could. A broken driver ends its own process only."""
    return _fault([sys.executable, str(HERE / "try_rendering.py")])


def _fault(command: list[str]) -> str | None:
    """The last line that a failing command says, or how it ended; None when it succeeds."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"
