"""The doctor's checks say what they found and how to mend it."""

import os
import subprocess
import sys
from collections import namedtuple

import pytest

from clwm_bringup.checks import doctor as doctor_checks
from clwm_bringup.checks.doctor import Check, Outcome
from clwm_common.files.model_files import ModelFiles

Usage = namedtuple("Usage", "total used free")


def test_a_check_that_fails_unexpectedly_is_a_failure_and_not_a_crash():
    def broken():
        raise RuntimeError("boom")

    result = Check("x", broken).run()
    assert result.outcome is Outcome.FAIL and "boom" in result.found and result.remedy


def test_every_check_has_a_title_of_its_own():
    titles = [check.title for check in doctor_checks.all_checks("nano")]
    assert len(titles) == len(set(titles)) >= 10


def test_a_full_disk_is_a_failure_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_checks.shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 10**6))
    result = doctor_checks.check_disk(tmp_path)
    assert result.outcome is Outcome.FAIL and "0.0 GB free" in result.found and "free 1 GB" in result.remedy


def test_a_busy_machine_is_warned_about(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert doctor_checks.check_processors().outcome is Outcome.WARN


def test_a_gl_library_that_fails_is_reported_with_the_packages_to_install(monkeypatch):
    failure = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: cannot load libEGL.so.1")
    monkeypatch.setattr(doctor_checks, "_python", lambda code: failure)
    result = doctor_checks.check_rendering()
    assert result.found == "ImportError: cannot load libEGL.so.1" and "libegl1" in result.remedy


def test_messages_survive_serialisation_here():
    assert doctor_checks.check_messages().outcome is Outcome.OK


def test_an_unknown_model_fails_with_the_known_ones():
    result = doctor_checks.check_checkpoints("huge")
    assert result.outcome is Outcome.FAIL and "known models" in result.found


@pytest.fixture
def mixed_models(tmp_path, monkeypatch):
    """The shipped policy, and an encoder of the same kind with other weights."""
    shipped = ModelFiles.load("nano")
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for name in ("config.json", "clwm.json"):
        (encoder / name).write_bytes((shipped.encoder / name).read_bytes())
    (encoder / "model.safetensors").write_bytes(b"weights")
    files = shipped.model_copy(update={"encoder": encoder})
    monkeypatch.setattr(ModelFiles, "load", classmethod(lambda cls, name: files))


def test_a_policy_of_another_encoder_fails_with_both_hashes(mixed_models):
    result = doctor_checks.check_checkpoints("nano")
    assert result.outcome is Outcome.FAIL and "trained on encoder 1bed92f27068" in result.found


def test_the_shipped_model_is_well():
    assert doctor_checks.check_checkpoints("nano").outcome is Outcome.OK


def test_weights_of_another_training_beside_the_document_fail(tmp_path, monkeypatch):
    shipped = ModelFiles.load("nano")
    policy = tmp_path / "policy.safetensors"
    policy.with_suffix(".json").write_bytes(shipped.policy.with_suffix(".json").read_bytes())
    policy.write_bytes(shipped.policy.read_bytes()[:-1])
    files = shipped.model_copy(update={"policy": policy})
    monkeypatch.setattr(ModelFiles, "load", classmethod(lambda cls, name: files))
    result = doctor_checks.check_checkpoints("nano")
    assert result.outcome is Outcome.FAIL and "truncated, damaged or from another training" in result.found


def test_part_of_a_running_stack_that_waits_is_shown_with_what_it_says():
    said = {"executor": ("ERROR", "nothing on /joint_states for 3.0 s"), "sim": ("OK", "keeps pace")}
    result = doctor_checks.judge_health(said)
    assert result.outcome is Outcome.WARN and result.found == "executor: ERROR, nothing on /joint_states for 3.0 s"
    assert doctor_checks.judge_health({"sim": ("OK", "keeps pace")}).outcome is Outcome.OK
    assert "none on this ROS_DOMAIN_ID" in doctor_checks.judge_health({}).found


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("RMW_IMPLEMENTATION", "rmw_no_such_thing", "unset RMW_IMPLEMENTATION"),
    ],
)
def test_a_wrong_setting_of_ros_fails_its_checks_with_its_own_remedy_and_all_others_are_made(name, value, remedy):
    command = [sys.executable, "-m", "clwm_bringup", "doctor"]
    environment = {**os.environ, name: value}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, done.stdout + done.stderr
    for check in doctor_checks.all_checks("nano"):
        assert f" {check.title} " in done.stdout
    failed = done.stdout.split("FAIL environment")[1].splitlines()
    assert f"{name} is '{value}'" in failed[0] and remedy in failed[1], done.stdout


def test_a_check_of_ros_that_takes_its_process_with_it_is_a_failure_with_the_settings_remedy(monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_no_such_thing")
    for check in (doctor_checks.check_ros, doctor_checks.check_messages, doctor_checks.check_round_trip):
        result = check()
        assert result.outcome is Outcome.FAIL and "unset RMW_IMPLEMENTATION" in result.remedy, result
