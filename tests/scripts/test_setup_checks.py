"""Set-up: all that a machine lacks is named at once, with one line that brings it; the wheels' repair is exact."""

import ast
import http.server
import importlib
import os
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
Usage = namedtuple("Usage", "total used free")
PLENTY = Usage(0, 0, 10**11)


sys.path.insert(0, str(SCRIPTS))
checks, index, wheels = map(importlib.import_module, ("setup_checks", "package_index", "repair_ros_wheels"))


@pytest.fixture
def found(monkeypatch, tmp_path):
    """Runs the checks against a disk with room and a package index that answers; returns what is lacking."""
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: PLENTY)
    monkeypatch.setattr(index, "fault", lambda environment: None)
    monkeypatch.setenv("MUJOCO_GL", "egl")
    return lambda python=sys.executable: list(checks.lacks(python, tmp_path))


def program(folder, name, text):
    """An executable file of bash."""
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


def test_this_machine_has_what_it_needs(found):
    assert found() == []


def test_full_disks_are_named_with_both_sizes_each(found, monkeypatch):
    monkeypatch.setattr(checks, "has_gpu", lambda: False)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: Usage(0, 0, 500_000_000))
    root, temporary = (lack.sentence for lack in found())
    assert "0.5 GB are free" in root and "6 GB are needed" in root
    assert "1 GB are needed" in temporary and "TMPDIR" in temporary
    monkeypatch.setattr(checks, "has_gpu", lambda: True)
    assert ["10 GB" in lack.sentence or "3 GB" in lack.sentence for lack in found()] == [True, True]


def test_a_bare_machine_is_told_everything_at_once_and_one_line(found, monkeypatch, tmp_path):
    bare = program(tmp_path, "python3", f'exec {sys.executable} -I -S -c \'print(*["Python.h", "ensurepip"])\'')
    monkeypatch.setattr(checks.shutil, "which", lambda name: None)
    monkeypatch.setattr(checks, "rendering_fault", lambda: "libGL.so.1 cannot be loaded")
    lacks = found(str(bare))
    text = "\n".join(lack.sentence for lack in lacks)
    for word in ("no make", "no C++ compiler", "Python.h", "ensurepip", "libGL.so.1 cannot be loaded"):
        assert word in text
    line = checks.install_line(lacks)
    assert "\n" not in line and {"build-essential", "libgl1", "make"} <= set(line.split())


def test_the_readme_gives_exactly_the_line_that_is_printed():
    line = checks.install_line([checks.Lack("", ("make",))])
    assert (ROOT / "README.md").read_text().count(f"```bash\n{line}\n```") == 1


def test_a_compiler_without_its_library_is_not_taken_for_one(found, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", str(program(tmp_path, "c++", "echo 'fatal error: string: No such file'; exit 1")))
    (lack,) = found()
    assert "fatal error: string" in lack.sentence and lack.packages == ("build-essential",)


def test_a_gl_library_that_is_missing_is_named_before_anything_is_installed(tmp_path):
    # Refuses one library, as a machine without libgl1 does.
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes\nreal = ctypes.CDLL.__init__\n"
        "def init(self, name, *others, **more):\n"
        "    if name == 'libGL.so.1':\n        raise OSError(name)\n"
        "    real(self, name, *others, **more)\n"
        "ctypes.CDLL.__init__ = init\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    script = [sys.executable, str(SCRIPTS / "try_rendering.py")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "libGL.so.1 cannot be loaded\n")


def test_a_driver_that_crashes_is_a_fault_and_no_crash(monkeypatch, tmp_path):
    (tmp_path / "try_rendering.py").write_text("import os; os.abort()")
    monkeypatch.setattr(checks, "HERE", tmp_path)
    assert checks.rendering_fault() == "it ended with -6"


def test_rendering_by_other_means_than_egl_is_left_to_them(found, monkeypatch):
    monkeypatch.setattr(checks, "rendering_fault", lambda: "EGL has no device")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert found() == []


@pytest.mark.parametrize("free", [0, 60_000_000])
def test_shared_memory_that_is_too_small_is_named(monkeypatch, free):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: Usage(0, 0, free))
    assert "--shm-size 256m" in checks.shared_memory_fault()


@pytest.fixture
def server():
    """Address of a server that has nothing, and says so."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}/simple"
        made.shutdown()


def test_an_index_that_answers_anything_is_there(server):
    assert index.fault({"PIP_INDEX_URL": server, "HOME": "/nowhere"}) is None


def test_an_index_that_nobody_serves_is_named_without_its_password(monkeypatch):
    sentence, packages = index.fault({"PIP_INDEX_URL": "http://me:secret@127.0.0.1:9/simple", "HOME": "/nowhere"})
    assert "the package index http://127.0.0.1:9/simple cannot be reached" in sentence and "secret" not in sentence
    assert packages == ()


def test_the_index_is_the_one_that_pip_is_configured_for(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/house\n")
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nowhere", "XDG_CONFIG_DIRS": "/nowhere"}
    assert "http://127.0.0.1:9/house" in index.fault(environment)[0]
    assert index.fault(dict(environment, PIP_NO_INDEX="1")) is None


def test_certificates_that_pip_would_not_find_are_named(server):
    sentence, _ = index.fault({"PIP_INDEX_URL": server, "PIP_CERT": "/nowhere/ca.pem", "HOME": "/nowhere"})
    assert "/nowhere/ca.pem" in sentence


def test_the_script_for_a_bare_machine_explains_itself_and_refuses_what_it_cannot_do():
    def script(*options):
        command = ["bash", str(SCRIPTS / "try_bare_machine.sh"), *options]
        return subprocess.run(command, capture_output=True, text=True)

    assert script("--help").returncode == 0 and "--python PREFIX" in script("--help").stdout
    for options, words in (
        (["--python"], "--python needs a value"),
        (["--fast", "/tmp/x"], "unknown option --fast"),
        (["/tmp/x", "/tmp/y"], "one folder"),
    ):
        done = script(*options)
        assert done.returncode == 2 and words in done.stderr


@pytest.mark.parametrize("name", ["setup", "setup_checks", "package_index", "try_rendering"])
def test_a_python_too_old_for_the_stack_still_reads_the_set_up(name):
    ast.parse((SCRIPTS / f"{name}.py").read_text(), feature_version=(3, 7))


def test_a_wrong_python_is_refused_with_what_was_found(monkeypatch):
    monkeypatch.setattr(checks, "python_version", lambda command: (3, 13) if command == "python3" else None)
    with pytest.raises(checks.MachineError, match=r"no Python 3.10, 3.11 or 3.12 found \(python3 is 3.13\); install"):
        checks.suitable_python(candidates=checks.CANDIDATES)


def test_the_first_suitable_python_is_taken(monkeypatch):
    versions = {"python3": (3, 13), "python3.12": None, "python3.11": (3, 11), "python3.10": (3, 10)}
    monkeypatch.setattr(checks, "python_version", versions.get)
    assert checks.suitable_python(candidates=checks.CANDIDATES).endswith("python3.11")


def test_the_python_that_was_named_comes_before_others(monkeypatch):
    monkeypatch.setattr(checks, "python_version", lambda command: (3, 11))
    assert checks.suitable_python() == sys.executable


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
