"""The seam measurement sees a jump where there is one, in what is executed and in what a plain cut-over would be."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from clwm_bringup.cli import app
from clwm_common.actions import JOINTS, ROW_DT
from clwm_common.messages import ActionChunk
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_evaluation.measurements.seam import (
    CUT_OVER,
    NO_PREFIX,
    PREFIX,
    SPLICED,
    Jumps,
    Seam,
    seam_of,
    summarise,
)
from clwm_sai_executor.path.limits import MotionLimits
from clwm_sai_executor.path.splice import Path, splice

PREFIX_ROWS = 5
OPEN = np.full(2, 0.08)


@pytest.fixture(scope="module")
def limits():
    return MotionLimits.of(RobotDescription.load("dual_fr3_mujoco"))


@pytest.fixture(scope="module")
def poses():
    return DualArmKinematics(RobotDescription.load("dual_fr3_mujoco")).poses


def moving(limits, speed):
    """A path at a steady speed [rad/s] of joint 0, and its home."""
    home = RobotDescription.load("dual_fr3_mujoco").home
    rows = np.repeat(home[None], 40, axis=0)
    rows[:, 0] += speed * ROW_DT * np.arange(1, 41)
    return splice(Path.at_rest(home, OPEN, 100.0, ROW_DT), 1, rows, np.tile(OPEN, (40, 1)), limits)[0]


def chunk_after(path, speed):
    """A chunk that repeats the last rows of the path and goes on at `speed`."""
    rows = np.zeros((16, 30), np.float32)
    committed = path.positions[path.last_row - path.first - PREFIX_ROWS + 1 : path.last_row - path.first + 1]
    rows[:PREFIX_ROWS, JOINTS] = committed
    rows[PREFIX_ROWS:, JOINTS] = committed[-1]
    rows[PREFIX_ROWS:, 14] += speed * ROW_DT * np.arange(1, 17 - PREFIX_ROWS)
    return ActionChunk(2, 1, 0.0, rows, prefix_rows=PREFIX_ROWS)


def spliced(limits, speed_after, poses, others=None):
    before = moving(limits, 0.2)
    chunk = chunk_after(before, speed_after)
    after, _ = splice(
        before, before.last_row, chunk.rows[PREFIX_ROWS:, JOINTS].astype(float), np.tile(OPEN, (11, 1)), limits
    )
    return seam_of(before.time(before.last_row) - 0.03, before, after, chunk, poses, others)


def test_chunk_that_goes_on_as_before_has_no_jump_at_its_seam(limits, poses):
    assert spliced(limits, 0.2, poses).ways[SPLICED].seam == pytest.approx(0.0, abs=1e-5)


def test_chunk_that_goes_on_faster_jumps_at_its_seam_and_nowhere_else(limits, poses):
    seam = spliced(limits, 0.3, poses)
    assert seam.ways[SPLICED].seam == pytest.approx(0.1, abs=0.01)
    assert max(seam.ways[SPLICED].inner) < 0.02


def test_cutting_over_jumps_back_to_rows_that_the_arms_have_passed(limits, poses):
    # Row 0 lies four rows before the end of the path, 3.4 of them in the past when the chunk comes.
    assert spliced(limits, 0.2, poses).ways[CUT_OVER].seam == pytest.approx(0.2 * (1 + 3.4), abs=0.02)


def test_other_rows_are_joined_to_the_committed_ones_whatever_they_say_of_those(limits, poses):
    others = {PREFIX: chunk_after(moving(limits, 0.2), 0.2).rows, NO_PREFIX: chunk_after(moving(limits, 0.2), 0.2).rows}
    others[NO_PREFIX] = others[NO_PREFIX].copy()
    others[NO_PREFIX][:PREFIX_ROWS] = 0.0  # not looked at
    others[NO_PREFIX][PREFIX_ROWS:, 14] += 0.01
    seam = spliced(limits, 0.2, poses, others)
    assert seam.ways[PREFIX].seam == pytest.approx(0.0, abs=1e-5)
    assert seam.ways[NO_PREFIX].seam == pytest.approx(0.01 / ROW_DT, abs=1e-3)
    assert seam.ways[NO_PREFIX].inner[0] == pytest.approx(0.01 / ROW_DT, abs=1e-3)


def test_rows_that_the_limits_do_not_allow_are_strayed_from(limits, poses):
    assert spliced(limits, 0.2, poses).strayed < 1e-6
    seam = spliced(limits, 1.5, poses)
    assert seam.strayed > 0.01 and 0.1 < seam.strayed_tool / seam.strayed < 1.2


def test_ratio_and_excess_are_counted(limits, poses):
    first = Seam({SPLICED: Jumps(0.1, (0.1, 0.1)), CUT_OVER: Jumps(0.6, (0.2,)), NO_PREFIX: Jumps(0.3, (0.1,))})
    second = Seam({SPLICED: Jumps(0.12, (0.1,)), CUT_OVER: Jumps(0.8, (0.2,))})
    report = summarise([first, second], 0.5)
    assert report["no_prefix"]["seams"] == 1 and report["no_prefix"]["ratio"] == pytest.approx(3.0)
    assert "prefix" not in report
    assert report["spliced"]["ratio"] == pytest.approx(1.1) and report["spliced"]["above_limit"] == 0
    assert report["cut_over"]["ratio"] == pytest.approx(3.5) and report["cut_over"]["above_limit"] == 2
    assert summarise([], 0.5)["spliced"]["ratio"] is None


def test_command_measures_the_whole_virtual_stack_and_writes_report_and_plot(tmp_path):
    files = {name: tmp_path / f"seam.{name}" for name in ("json", "png")}
    call = ["bench", "seam", "--episodes", "1", "--control", "expert"]
    result = CliRunner().invoke(
        app, [*call, *(part for name, file in files.items() for part in (f"--{name}", str(file)))]
    )
    assert result.exit_code == 0, result.output
    report = json.loads(files["json"].read_text())
    assert report["all"]["seams"] > 5 and files["png"].stat().st_size > 1000
    assert report["all"]["spliced"]["above_limit"] == 0
    assert report["all"]["spliced"]["seam_jump"]["p50"] < report["all"]["cut_over"]["seam_jump"]["p50"]
