"""The executor's process is worked over DDS and weighed, and one that does nothing is no measurement."""

import json

import pytest
from typer.testing import CliRunner

from clwm_bringup.cli import app
from clwm_common.process_usage import Usage
from clwm_evaluation.process_cost.executor import _report


def test_report_is_of_the_largest_memory_and_the_mean_share_of_a_core():
    samples = [Usage(100_000_000, 50_000_000, 1.0), Usage(160_000_000, 60_000_000, 1.3), Usage(120_000_000, 0, 1.4)]
    report = _report(samples, 2.0, chunks=3, states=200, joint_rate=100)
    assert report["processor_share"] == pytest.approx(0.2) and not report["meets_processor_goal"]
    assert report["processor_share_worst_second"] == pytest.approx(0.3)
    assert report["resident_mb"] == 160.0 and not report["meets_memory_goal"]
    assert report["joint_states_per_second"] == 100.0 and report["growth_mb"] == 20.0


def test_command_works_the_executor_and_writes_what_it_costs(tmp_path):
    file = tmp_path / "executor.json"
    result = CliRunner().invoke(app, ["bench", "executor", "--seconds", "5", "--warm-up", "0", "--json", str(file)])
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["chunks"] >= 2 and 0.0 < report["processor_share"] < 1.0 and report["resident_mb"] > 20.0


def test_robot_without_a_description_is_an_error_and_no_figure(tmp_path):
    result = CliRunner().invoke(app, ["bench", "executor", "--seconds", "5", "--robot", "none"])
    assert result.exit_code == 2 and "none" in result.output
