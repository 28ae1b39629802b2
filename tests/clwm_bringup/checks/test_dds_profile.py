"""A profile that lets a joining process stop the arms is named by doctor; ours do not."""

from pathlib import Path

import pytest

from clwm_bringup import graph
from clwm_bringup.checks import dds_profile
from clwm_bringup.checks.doctor import Outcome, check_dds_profile
from clwm_common.robot.description import config_directory

OURS = sorted(config_directory().glob("fastdds*.xml"))


def edited(tmp_path, before, after):
    text = OURS[0].read_text()
    assert before in text
    path = tmp_path / "own.xml"
    path.write_text(text.replace(before, after))
    return path


def check(path):
    return check_dds_profile(graph.environment({"FASTRTPS_DEFAULT_PROFILES_FILE": str(path)}))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_shared_memory_of_this_project_makes_neighbours_wait(path):
    assert len(OURS) == 2
    assert dds_profile.shared_memory_timeouts(path) == {"clwm_shm": 30}
    assert check(path).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("<healthy_check_timeout_ms>30</healthy_check_timeout_ms>", "", "clwm_shm 1000 ms"),
        ("<healthy_check_timeout_ms>30<", "<healthy_check_timeout_ms>400<", "clwm_shm 400 ms"),
        ("<useBuiltinTransports>false<", "<useBuiltinTransports>true<", "the built-in one 1000 ms"),
        ('is_default_profile="true"', "", "the built-in one 1000 ms"),
    ],
)
def test_a_users_own_profile_that_makes_neighbours_wait_is_named_with_the_line_to_add(tmp_path, before, after, found):
    result = check(edited(tmp_path, before, after))
    assert result.outcome is Outcome.WARN and found in result.found
    assert "<healthy_check_timeout_ms>30</healthy_check_timeout_ms>" in result.remedy


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("<profiles>", "is not XML"),
        ("<robot/>", "has the root <robot>; expected <profiles> or <dds>"),
        (OURS[0].read_text().replace(">30<", ">soon<"), "healthy_check_timeout_ms is 'soon'"),
    ],
)
def test_a_profile_that_fast_dds_cannot_take_fails_by_name(tmp_path, text, found):
    path = tmp_path / "own.xml"
    if text is not None:
        path.write_text(text)
    result = check(path)
    assert result.outcome is Outcome.FAIL and found in result.found and str(path) in result.found
    assert "unset FASTRTPS_DEFAULT_PROFILES_FILE" in result.remedy


def test_shared_memory_that_nobody_uses_does_not_matter(tmp_path):
    path = edited(tmp_path, "<transport_id>clwm_shm</transport_id>\n        <transport_id>", "<transport_id>")
    assert dds_profile.shared_memory_timeouts(path) == {}


def test_another_middleware_is_not_asked_for_a_profile_of_fast_dds():
    environment = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "FASTRTPS_DEFAULT_PROFILES_FILE": "/nowhere.xml"}
    assert check_dds_profile(graph.environment(environment)).outcome is Outcome.OK
    assert Path("/nowhere.xml").exists() is False
