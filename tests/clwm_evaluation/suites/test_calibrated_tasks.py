"""`clwm calibrate --tasks`: whose chunks are tried."""

import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_common.files.model_files import ModelFiles
from clwm_evaluation.calibration import calibrate

NANO = ModelFiles.load("nano").policy


def test_taught_are_the_tasks_of_the_goals_that_the_checkpoint_names():
    assert calibrate._taught(NANO) == ["lift_tray", "place_block"]


@pytest.mark.parametrize("tasks", ["kitchen", "blocks:dance"])
def test_a_task_that_does_not_exist_is_refused_before_anything_is_recorded(tasks):
    said = CliRunner().invoke(cli.app, ["calibrate", "--tasks", tasks], env={"COLUMNS": "200"})
    assert said.exit_code == 2 and "expected one of" in said.output
