"""requirements.lock: one version of everything that is installed, for each Python, and the one that is installed."""

import importlib
import importlib.metadata
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
setup_script = importlib.import_module("setup")
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
PYTHONS = ("3.10", "3.11", "3.12")
every_python = pytest.mark.parametrize("python", PYTHONS)


def environment(python):
    platform = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "extra": ""}
    return platform | {"python_version": python, "python_full_version": f"{python}.9", "implementation_name": "cpython"}


@cache
def locked(python):
    """{name: version} of the lock file for a Python."""
    found = {}
    for requirement in map(Requirement, LINES):
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is locked twice for Python {python}"
            found[name] = str(requirement.specifier).removeprefix("==")
    return found


def declared():
    """Every requirement of every group of pyproject.toml, but those of its own groups."""
    text = (ROOT / "pyproject.toml").read_text()
    groups = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    found = [Requirement(line) for line in re.findall(r'^    "([^"]+)",', groups, re.MULTILINE)]
    assert len(found) > 50
    return found


def installed():
    """{name: distribution} of the environment that runs this."""
    found = importlib.metadata.distributions(path=[path for path in sys.path if "site-packages" in path])
    return {canonicalize_name(one.metadata["Name"]): one for one in found}


@every_python
def test_every_requirement_of_the_project_is_locked_at_its_pin(python):
    for requirement in declared():
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            assert str(requirement.specifier) == f"=={locked(python).get(canonicalize_name(requirement.name))}", (
                requirement
            )


def test_what_is_installed_is_what_is_locked():
    versions = locked(f"{sys.version_info.major}.{sys.version_info.minor}")
    here = {name: one.version.partition("+")[0] for name, one in installed().items()}
    assert len(here.keys() & versions.keys()) > 100
    assert {name: here[name] for name in here.keys() & versions.keys() if here[name] != versions[name]} == {}


def test_what_the_installed_packages_need_is_locked_too():
    """The lock is of all that comes along; a build without CUDA needs less, never anything else."""
    versions = locked(f"{sys.version_info.major}.{sys.version_info.minor}")
    here = installed()
    needed = {
        canonicalize_name(requirement.name): name
        for name in here.keys() & versions.keys()
        for requirement in map(Requirement, here[name].requires or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert {what: by for what, by in needed.items() if what in here and what not in versions} == {}


def test_a_line_names_a_version_and_neither_a_place_nor_an_index():
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*( ; [^/@]+)?", line)] == []


def test_the_set_up_installs_nothing_but_by_the_lock(monkeypatch):
    commands = []
    monkeypatch.setattr(setup_script, "_run", lambda command, *_: commands.append(command))
    setup_script._pip("one", "other")
    assert commands[0][commands[0].index("--constraint") + 1] == str(ROOT / "requirements.lock")
    assert (ROOT / "scripts" / "setup.py").read_text().count('"pip"') == 1


def test_a_changed_lock_is_installed_again(monkeypatch, tmp_path):
    before = setup_script.dependency_digest(None)
    for name in ("pyproject.toml", "requirements.lock", "scripts/setup.py", "scripts/repair_ros_wheels.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(setup_script, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(setup_script, "ROOT", tmp_path)
    same = setup_script.dependency_digest(None)
    (tmp_path / "requirements.lock").write_text("numpy==1.0\n")
    assert setup_script.dependency_digest(None) != same != before
