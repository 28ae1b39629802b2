"""Set-up: what a machine lacks is one sentence with a remedy; the wheels' repair changes what it must only."""

import importlib.util
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
Usage = namedtuple("Usage", "total used free")


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checks = load("setup_checks")
wheels = load("repair_ros_wheels")


def sentences(monkeypatch, python=sys.executable, **replacements):
    for name, value in replacements.items():
        monkeypatch.setattr(checks, name, value)
    return list(checks.problems(python, Path("/"), needs_compiler=True))


def test_this_machine_has_what_it_needs(monkeypatch):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: Usage(0, 0, 10**11))
    assert sentences(monkeypatch) == []


def test_a_full_disk_is_named_with_both_sizes(monkeypatch):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: Usage(0, 0, 2_500_000_000))
    (sentence,) = sentences(monkeypatch)
    assert "2.5 GB are free" in sentence and "6 GB are needed" in sentence


def test_a_missing_compiler_is_named_with_the_package(monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda name: None)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: Usage(0, 0, 10**11))
    assert sentences(monkeypatch) == ["no C++ compiler found; install one (apt-get install build-essential)"]


def test_a_missing_gl_library_is_named_with_the_packages(monkeypatch):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: Usage(0, 0, 10**11))
    (sentence,) = sentences(monkeypatch, has_egl=lambda: False)
    assert "libEGL.so.1" in sentence and "apt-get install libegl1 libgl1 libgl1-mesa-dri" in sentence


def test_a_wrong_python_is_refused_with_what_was_found(monkeypatch):
    monkeypatch.setattr(checks, "python_version", lambda command: (3, 13) if command == "python3" else None)
    with pytest.raises(checks.MachineError, match=r"no Python 3.10, 3.11 or 3.12 found \(python3 is 3.13\); install"):
        checks.suitable_python()


def test_the_first_suitable_python_is_taken(monkeypatch):
    versions = {"python3": (3, 13), "python3.12": None, "python3.11": (3, 11), "python3.10": (3, 10)}
    monkeypatch.setattr(checks, "python_version", versions.get)
    assert checks.suitable_python().endswith("python3.11")


def test_an_installed_ros_takes_its_own_python_or_none(monkeypatch):
    versions = {"python3": (3, 13), "python3.11": (3, 11)}
    monkeypatch.setattr(checks, "python_version", versions.get)
    with pytest.raises(checks.MachineError):
        checks.suitable_python(must_be_first=True)


def test_without_a_sourced_ros_the_wheels_are_used():
    assert checks.ros_prefix({}) is None


def test_a_sourced_jazzy_is_found(tmp_path):
    (tmp_path / "share" / "rclpy").mkdir(parents=True)
    (tmp_path / "setup.bash").touch()
    environment = {"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": f"/elsewhere:{tmp_path}"}
    assert checks.ros_prefix(environment) == tmp_path


def test_another_distribution_is_refused_by_name():
    with pytest.raises(checks.MachineError, match="ROS 2 humble is sourced"):
        checks.ros_prefix({"ROS_DISTRO": "humble"})


def test_include_folders_of_the_build_machine_are_replaced():
    built = "/opt/python/cp311-cp311"
    before = f'"{built}/include/python3.11;{built}/lib/python3.11/site-packages/numpy/_core/include"'
    assert (
        wheels.repair_text(before, "/usr/include/python3.12", "/venv/numpy") == '"/usr/include/python3.12;/venv/numpy"'
    )


def test_paths_relative_to_the_prefix_stay():
    text = 'set(x "${_IMPORT_PREFIX}/include/rcl;${_IMPORT_PREFIX}/include/python3.11")'
    assert wheels.repair_text(text, "/P", "/N") == text


@given(st.text(alphabet='/"; abc$\n') | st.just('"/a/include/python3.11;/b/numpy/core/include"'))
def test_repairing_twice_changes_nothing_more(text):
    once = wheels.repair_text(text, "/usr/include/python3.11", "/venv/numpy/_core/include")
    assert wheels.repair_text(once, "/usr/include/python3.11", "/venv/numpy/_core/include") == once


def test_only_cmake_files_are_touched(tmp_path):
    content = '"/opt/python/cp311-cp311/include/python3.11"'
    for name in ("a.cmake", "b.txt"):
        (tmp_path / name).write_text(content)
    assert wheels.repair(tmp_path, "/P", "/N") == 1
    assert (tmp_path / "a.cmake").read_text() == '"/P"' and (tmp_path / "b.txt").read_text() == content
    assert wheels.repair(tmp_path, "/P", "/N") == 0
