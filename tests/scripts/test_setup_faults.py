"""A set-up that can no longer be used: `make setup` and ./clwm see it alike, say why, and `make setup` mends it."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
checks, setup = map(importlib.import_module, ("setup_checks", "setup"))


@pytest.fixture
def checkout(tmp_path):
    """A folder that is set up as far as its entry looks: a real virtual environment, a `clwm_bringup` that says ok."""
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("clwm", "scripts/env.sh"):
        shutil.copy(ROOT / name, root / name)
    python = root / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")], check=True)
    (packages,) = (root / ".venv" / "lib").glob("python3*/site-packages")
    (packages / "clwm_bringup").mkdir()
    (packages / "clwm_bringup" / "__main__.py").write_text("print('ok')")
    (root / ".venv" / "clwm_place").write_text(f"{root}\nNone\n")
    (root / "ros2_ws" / "install").mkdir(parents=True)
    (root / "ros2_ws" / "install" / "clwm_build.stamp").touch()
    assert python.exists()
    return root


def entry(root):
    """What ./clwm of `root` prints, and its exit code, in a shell that knows nothing of the project."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(root)}
    done = subprocess.run([str(root / "clwm")], env=environment, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def fault(root):
    return checks.environment_fault(root / ".venv", f"{root}\nNone\n")


def the_python_is_removed(root):
    (root / ".venv" / "bin" / "python").unlink()
    (root / ".venv" / "bin" / "python").symlink_to("/usr/bin/python3.8-that-was-removed")


def the_python_does_not_run(root):
    (root / ".venv" / "bin" / "python").unlink()
    (root / ".venv" / "bin" / "python").symlink_to("/bin/false")


def the_python_is_another_version(root):
    (packages,) = (root / ".venv" / "lib").glob("python3*")
    packages.rename(packages.with_name("python3.8"))


def the_checkout_was_moved(root):
    (root / ".venv" / "clwm_place").write_text("/where/it/was\nNone\n")


FAULTS = {
    the_python_is_removed: ("gone", "python3.8-that-was-removed"),
    the_python_does_not_run: ("does not run", "/bin/false"),
    the_python_is_another_version: ("has become",),
    the_checkout_was_moved: ("was made for", "/where/it/was"),
}


def test_a_sound_set_up_is_entered(checkout):
    assert fault(checkout) is None
    assert entry(checkout) == (0, "ok")


@pytest.mark.parametrize("happens", FAULTS, ids=lambda happens: happens.__name__)
def test_what_happened_is_named_by_the_entry_and_by_the_set_up(checkout, happens):
    happens(checkout)
    code, said = entry(checkout)
    assert code == 1 and f"run 'make setup' in {checkout}" in said and len(said.splitlines()) == 1
    for word in FAULTS[happens]:
        assert os.path.basename(word) in fault(checkout) and os.path.basename(word) in said


def test_an_environment_shared_by_a_link_is_that_of_where_it_lies(checkout):
    other = checkout.with_name("other")
    shutil.copytree(checkout, other, ignore=shutil.ignore_patterns(".venv"))
    (other / ".venv").symlink_to(checkout / ".venv")
    assert entry(other) == (0, "ok")


def test_a_workspace_that_was_not_built_is_named(checkout):
    (checkout / "ros2_ws" / "install" / "clwm_build.stamp").unlink()
    assert "ros2_ws is not built yet" in entry(checkout)[1]


def test_a_ros_installation_that_is_gone_is_named(checkout):
    (checkout / ".venv" / "clwm_ros_prefix").write_text("/opt/ros/that-was-removed\n")
    assert "/opt/ros/that-was-removed" in entry(checkout)[1]


@pytest.mark.parametrize("happens", [None, *FAULTS], ids=lambda happens: happens and happens.__name__)
def test_the_set_up_makes_a_broken_environment_anew_though_its_stamps_are_current(checkout, happens, monkeypatch):
    made = []
    for name, path in (("ROOT", checkout), ("VENV", checkout / ".venv")):
        monkeypatch.setattr(setup, name, path)
    stamp = checkout / ".venv" / "clwm_dependencies.stamp"
    monkeypatch.setattr(setup, "DEPENDENCY_STAMP", stamp)
    monkeypatch.setattr(setup, "ROS_PREFIX", checkout / ".venv" / "clwm_ros_prefix")
    monkeypatch.setattr(setup, "dependency_digest", lambda ros: "digest")
    monkeypatch.setattr(setup, "build_digest", lambda: "")
    monkeypatch.setattr(setup, "BUILD_STAMP", checkout / "ros2_ws" / "install" / "clwm_build.stamp")
    monkeypatch.setattr(setup, "checked_machine", lambda ros: sys.executable)
    monkeypatch.setattr(setup, "install", lambda python, ros, stale: made.append(stale))
    monkeypatch.setattr(sys, "argv", ["setup.py"])
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    stamp.write_text("digest")
    if happens is not None:
        happens(checkout)
    assert setup.main() == 0
    assert made == ([] if happens is None else [fault(checkout)])


def test_everything_that_is_missing_comes_in_one_message_with_one_line(monkeypatch):
    lacks = [checks.Lack("no make found", ("make",)), checks.Lack("1 GB is free")]
    monkeypatch.setattr(checks, "lacks", lambda python, root: lacks)
    with pytest.raises(setup.StepError) as raised:
        setup.checked_machine(None)
    text = str(raised.value)
    assert "- no make found\n- 1 GB is free\n" in text and text.count("apt-get install") == 1
