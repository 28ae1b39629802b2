"""A setting with which ROS would not start is named with its remedy; where nothing can be written, it is mended."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_common import ros_environment
from clwm_common.ros_environment import RosEnvironmentError, discovery, prepare

PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.fixture
def usable(tmp_path):
    return {"HOME": str(tmp_path / "home"), "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", "")}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ROS_DOMAIN_ID", "abc", "a whole number from 0 to 232"),
        ("ROS_DOMAIN_ID", "300", "a whole number from 0 to 232"),
        ("ROS_DOMAIN_ID", "-1", "a whole number from 0 to 232"),
        ("ROS_DOMAIN_ID", "1.0", "a whole number from 0 to 232"),
        ("ROS_DOMAIN_ID", "010", "a whole number from 0 to 232"),  # ROS would take it for 8
        ("ROS_DOMAIN_ID", " ", "a whole number from 0 to 232"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHSOT", "one of LOCALHOST, SUBNET"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "localhost", "one of LOCALHOST, SUBNET"),
        ("ROS_STATIC_PEERS", "127.0.0.1;no such host", "host names or addresses"),
        ("RMW_IMPLEMENTATION", "rmw_no_such_thing", "measured with rmw_fastrtps_cpp"),
        ("RCUTILS_COLORIZED_OUTPUT", "yes", "0 or 1"),
        (PROFILE, "/nowhere/profile.xml", "a transport profile of Fast DDS"),
        (PROFILE, "/", "Is a directory"),
        (PROFILE, __file__, "which is not XML"),
    ],
)
def test_a_setting_with_which_ros_does_not_start_is_refused_with_a_remedy(usable, name, value, expected):
    with pytest.raises(RosEnvironmentError) as refusal:
        prepare({**usable, name: value})
    assert refusal.value.problem.startswith(f"{name} ") and value.split(";")[-1] in refusal.value.problem
    assert expected in refusal.value.problem
    assert refusal.value.remedy and "\n" not in str(refusal.value)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6))
def test_a_domain_is_refused_unless_ros_takes_it_for_the_number_that_it_shows(text):
    accepted = not any(error.problem.startswith("ROS_DOMAIN_ID") for error in _problems(ROS_DOMAIN_ID=text))
    assert accepted == (text in {"", *map(str, range(233))})


def _problems(**environment):
    return ros_environment.problems({"AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", ""), **environment})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ROS_DOMAIN_ID": "", "ROS_AUTOMATIC_DISCOVERY_RANGE": "", "RMW_IMPLEMENTATION": "", PROFILE: ""},
        {"ROS_DOMAIN_ID": "232", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"},
        {"ROS_STATIC_PEERS": "127.0.0.1;localhost"},
    ],
)
def test_what_ros_takes_is_left_as_it_is(usable, settings):
    environment = {**usable, **settings}
    assert prepare(environment) == [] and environment == {**usable, **settings}


def test_an_enforced_security_without_a_keystore_is_refused(usable):
    settings = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce", "ROS_SECURITY_KEYSTORE": "/nowhere"}
    with pytest.raises(RosEnvironmentError, match="ROS_SECURITY_KEYSTORE is '/nowhere'.*make a keystore"):
        prepare({**usable, **settings})


def test_another_rclpy_on_the_python_path_is_refused(usable, tmp_path, monkeypatch):
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "rclpy", raising=False)
    with pytest.raises(RosEnvironmentError, match=f"rclpy would be imported from {tmp_path}/rclpy, by PYTHONPATH"):
        prepare(usable)


@pytest.mark.parametrize("home", [None, "", "/proc", "/dev/null/home"])
def test_a_home_that_cannot_be_written_is_replaced_by_a_private_folder_and_said(usable, home):
    environment = {**usable, "HOME": home} if home is not None else {k: v for k, v in usable.items() if k != "HOME"}
    (note,) = prepare(environment)
    assert environment["HOME"] in note and (home or "HOME is not set") in note
    found = Path(environment["HOME"]).stat()
    assert found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700
    assert prepare(environment) == []


@pytest.mark.parametrize("name", ["ROS_LOG_DIR", "ROS_HOME"])
def test_a_log_folder_that_cannot_be_written_is_replaced_and_said(usable, name):
    environment = {**usable, name: "/proc/ros"}
    (note,) = prepare(environment)
    assert "/proc/ros" in note and environment["ROS_LOG_DIR"] in note and environment["HOME"] == usable["HOME"]
    assert prepare(environment) == []


def test_a_full_disk_counts_as_not_writable(usable, monkeypatch):
    def full(dir=None, **_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ros_environment.tempfile, "TemporaryFile", full)
    monkeypatch.setattr(ros_environment.tempfile, "mkdtemp", full)
    with pytest.raises(RosEnvironmentError, match="No space left on device.*free some disk space"):
        prepare(usable)


def test_a_name_that_somebody_else_has_taken_in_the_temporary_folder_is_not_used(usable, monkeypatch, tmp_path):
    monkeypatch.setattr(ros_environment.tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"clwm-{os.geteuid()}").symlink_to("/proc")
    environment = {**usable, "HOME": "/proc"}
    prepare(environment)
    assert Path(environment["HOME"]).parent == tmp_path and Path(environment["HOME"]).is_dir()
    assert not Path(environment["HOME"]).is_symlink()


def test_ros_starts_in_an_environment_that_was_prepared_for_a_user_without_a_home():
    code = (
        "from clwm_common.ros_environment import prepare; print(prepare())\n"
        "import rclpy; rclpy.init(); rclpy.create_node('probe').get_logger().info('logged'); rclpy.shutdown()"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "ROS_LOG_DIR", "ROS_HOME")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "HOME is not set" in done.stdout and "logged" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
            ("ID 7", "RANGE=SUBNET on both", "--ipc"),
        ),
        ({"ROS_LOCALHOST_ONLY": "1"}, ("ID 0", "this machine only")),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, ("nobody else", "LOCALHOST or SUBNET")),
        ({}, ("of this network", "multicast")),
    ],
)
def test_who_is_not_found_may_be_out_of_reach_and_it_is_said_how_to_reach_farther(settings, said):
    assert all(words in discovery(settings) for words in said)
