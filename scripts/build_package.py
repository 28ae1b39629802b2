#!/usr/bin/env python3
"""Make wheel and source package of the ROS-free part in out/dist, and try each in an empty environment.

    make build                        # an environment is 2.5 GB and takes minutes
    make build BUILD=--shared         # the dependencies of .venv are seen from it by a .pth; minutes less

What is tried, away from the checkout: the import of every module that does not need ROS, the command line's help, and
one episode of `clwm eval` with the shipped policy. Only committed and added files are packed; the tree is not touched.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from setup import SENTENCE_ENCODER

from clwm_common.ros_environment import ROS_PACKAGE

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "out" / "dist"
GROUPS = "core,perception,policy,sim,train,bringup"
IMPORTS = """
import importlib, pkgutil, sys
from pathlib import Path
from clwm_common.ros_environment import ROS_PACKAGE
count = 0
for top in {packages}:
    package = importlib.import_module(top)
    assert Path(sys.prefix) in Path(package.__file__).parents, package.__file__
    for found in pkgutil.walk_packages(package.__path__, top + "."):
        try:
            importlib.import_module(found.name)
            count += 1
        except ImportError as error:
            needed = (error.name or "").partition(".")[0]
            assert ROS_PACKAGE.fullmatch(needed), (found.name, error)
print(count, "modules imported")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shared", action="store_true", help="see the dependencies of the Python that runs this")
    shared = parser.parse_args().shared
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        copy_tracked(tree)
        source = DIST / call_backend("build_sdist", tree)
        wheel = DIST / call_backend("build_wheel", tree)
        from_source = Path(folder) / "from_source"
        with tarfile.open(source) as archive:
            archive.extractall(from_source, filter="data")
        (unpacked,) = from_source.iterdir()
        second = from_source / call_backend("build_wheel", unpacked, from_source)
        if differing := sorted(name for name, _ in contents(wheel) ^ contents(second)):
            raise SystemExit(f"the source package makes another wheel: {', '.join(differing[:8])}")
        for package in (wheel, source):
            try_package(package, Path(folder) / package.name.replace(".", "_"), shared)
    for package in (wheel, source):
        print(f"{package.relative_to(ROOT)}: {package.stat().st_size / 1e6:.1f} MB")
    return 0


def tracked(*patterns: str) -> list[Path]:
    """The files that git knows and that are there; none left over from an earlier build."""
    command = ["git", "ls-files", "-z", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and os.path.lexists(ROOT / name)]


def copy_tracked(tree: Path) -> None:
    """A copy of what is packed, links as links."""
    for path in tracked("src", "config", "models/nano", "pyproject.toml", "README.md", "LICENSE"):
        copy = tree / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)


def call_backend(hook: str, tree: Path, target: Path = DIST) -> str:
    """Build by the backend that pyproject.toml names, in a process of its own; returns the name of the file made."""
    code = f"from setuptools import build_meta; print('made', build_meta.{hook}({str(target)!r}))"
    return run([sys.executable, "-c", code], tree).rpartition("made ")[2].strip()


def contents(wheel: Path) -> set[tuple[str, str]]:
    """(name, hash) of every file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {(name, hashlib.sha256(archive.read(name)).hexdigest()) for name in archive.namelist()}


def try_package(package: Path, environment: Path, shared: bool) -> None:
    """Install a wheel or source package into a new environment and use it from an empty folder."""
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    if shared:
        (here,) = (environment / "lib").glob("python3*/site-packages")
        # Of the .pth files there only that of pinocchio's folder counts; the project's would bring the checkout in.
        (here / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\nimport cmeel_pth\n")
        # There is ROS among them, too, which the packed project must not find.
        hidden = [
            path.name for path in Path(sysconfig.get_path("purelib")).iterdir() if ROS_PACKAGE.fullmatch(path.name)
        ]
        hidden.append("clwm_msgs")
        (here / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({hidden}))\n")
        run([*pip, "--no-deps", "--no-build-isolation", str(package)], environment)
    else:
        run([*pip, "--constraint", str(ROOT / "requirements.lock"), f"{package}[{GROUPS}]"], environment)
        run([*pip, "--no-deps", SENTENCE_ENCODER], environment)
    away = environment / "away"
    away.mkdir()
    packages = sorted(path.name for path in (ROOT / "src").iterdir() if (path / path.name / "__init__.py").exists())
    clwm = str(environment / "bin" / "clwm")
    steps = (
        [str(python), "-c", IMPORTS.format(packages=packages)],
        [clwm, "--help"],
        [clwm, "eval", "--help"],
        [clwm, "eval", "--task", "lift_tray", "--episodes", "1", "--json", "eval.json"],
    )
    for step in steps:
        print(f"{package.name}: {' '.join(step[1:]) if step[0] == clwm else run(step, away).strip()}", flush=True)
        if step[0] == clwm:
            run(step, away)


def run(command: list[str], folder: Path) -> str:
    """Output of a command that knows nothing of the checkout. Ends this script with the output of one that fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLWM_", "PYTHON", "AMENT_"))}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:300]} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
