"""Every number of a recording comes back in the episode that is made of it."""

import numpy as np
import pytest

from clwm_common.actions import GRIPPERS, JOINTS, POSES, ROW_DT
from clwm_common.recordings import names
from clwm_common.recordings.corrections import Correction, CorrectionLabel
from clwm_common.recordings.labels import Labels
from clwm_common.recordings.reader import RecordingError
from clwm_embodichain.recordings.recorded_episode import recorded_episode

from .conftest import HORIZON, ROBOT, START, Course, commanded, picture

ROWS = 4 * HORIZON + 4


@pytest.fixture
def rows():
    return commanded(ROWS + 4)[2]


def test_rows_states_and_pictures_come_back_as_they_were(record, rows, tmp_path):
    episode = recorded_episode(record(Course()), 32)
    assert len(episode.executed) == ROWS
    known = slice(0, 3 * HORIZON + 4)  # as told by the executor; the rest by the trajectories
    assert np.array_equal(episode.executed[known], rows[known])
    assert np.array_equal(episode.states, rows[:ROWS] + np.float32(0.001))
    assert np.allclose(episode.executed[:, JOINTS], rows[:ROWS, JOINTS], atol=1e-6)
    assert np.allclose(episode.executed[:, POSES], rows[:ROWS, POSES], atol=1e-5)
    for place, row in enumerate(episode.image_rows):
        for index, camera in enumerate(ROBOT.cameras):
            colour = picture(row, camera, (1, 1))[0, 0]
            assert np.abs(episode.images[place, index].astype(int) - colour).max() < 8
    assert (episode.success, episode.goals, episode.scene) == (True, ("lift_tray",), "table")
    assert episode.instructions == ("lift the tray",) and episode.channels.all() and not episode.interventions.any()
    episode.save(tmp_path / "episode.npz")  # checks that all arrays agree
    plan = episode.plans[2]
    assert np.array_equal(plan, episode.executed[8:24])


def test_what_a_human_did_is_flagged_row_by_row_and_commanded_by_what_was_sent(record, rows):
    human = range(17, 30)
    episode = recorded_episode(record(Course(human=human, skip=())), 32)
    assert np.flatnonzero(episode.interventions).tolist() == list(human)
    course = Course(chunks=4, human=range(3 * HORIZON + 6, ROWS))
    episode = recorded_episode(record(course, "other"), 32)
    late = slice(3 * HORIZON + 6, ROWS)
    assert np.allclose(episode.executed[late, JOINTS], rows[late, JOINTS], atol=1e-6)
    assert np.allclose(episode.executed[late, GRIPPERS], rows[late, GRIPPERS], atol=1e-6)


def test_rows_of_arms_that_are_held_are_told_from_those_that_anybody_moves(record):
    episode = recorded_episode(record(Course(human=range(17, 30), held=range(12, 17))), 32)
    assert np.flatnonzero(episode.held).tolist() == list(range(12, 17))
    assert np.flatnonzero(episode.interventions).tolist() == list(range(17, 30))


def test_a_committed_row_that_was_never_carried_out_is_not_taken_for_one(record, rows, monkeypatch):
    """The arms brake instead of it."""
    from . import conftest

    still = conftest.trajectory
    halted = 3 * HORIZON

    def halting(joints, at):
        halt = joints.copy()
        halt[halted:] = joints[halted] + 0.5
        return still(halt, at)

    monkeypatch.setattr(conftest, "trajectory", halting)
    episode = recorded_episode(record(Course()), 32)
    assert np.array_equal(episode.executed[:halted], rows[:halted])
    assert np.allclose(episode.executed[halted:, JOINTS], rows[halted, JOINTS] + 0.5, atol=1e-6)


def test_a_stack_that_lives_by_another_clock_than_the_recorder_is_recorded_as_well(record):
    """Simulated time, say: a second trajectory replaces the first when it was sent, by the stack's clock."""
    course = Course(replaced_at=3 * HORIZON + 8)
    one, other = (recorded_episode(record(course, f"at {later}", received_later=later), 32) for later in (0.0, 9e6))
    assert np.array_equal(one.executed, other.executed) and np.array_equal(one.states, other.states)
    assert one.executed[3 * HORIZON + 9, JOINTS][0] > ROBOT.home[0] + 0.2


def test_a_recording_whose_recorder_was_killed_is_an_episode_too(record, rows):
    episode = recorded_episode(record(Course(), is_closed=False), 32)
    assert np.array_equal(episode.executed[:HORIZON], rows[:HORIZON])


def test_people_are_believed_before_the_world(record):
    path = record(Course(judged=False))
    assert not recorded_episode(path, 32).success
    Labels(success=True).save(path)
    assert recorded_episode(path, 32).success


@pytest.mark.parametrize("later", [0.0, 9e6])
def test_what_an_operator_says_of_a_correction_stands_at_its_rows_by_whatever_clock_the_stack_lives(record, later):
    path = record(Course(human=range(12, 20)), received_later=later)
    assert recorded_episode(path, 32).corrections is None
    begin, end = (round((START + later + at * ROW_DT - 0.02) * 1e9) for at in (12, 20))
    labels = Labels().corrected(Correction(begin, end, CorrectionLabel.DISCARDED))
    labels.corrected(Correction(round((START + later + 30 * ROW_DT) * 1e9), None, CorrectionLabel.RECOVERY)).save(path)
    episode = recorded_episode(path, 32)
    rows = np.arange(len(episode.executed))
    assert np.array_equal(episode.corrections == CorrectionLabel.DISCARDED, (rows >= 12) & (rows < 20))
    assert np.array_equal(episode.corrections == CorrectionLabel.RECOVERY, rows >= 30)


def test_a_recording_that_nobody_judged_says_how_to_label_it(record):
    path = record(Course(judged=None))
    with pytest.raises(RecordingError, match="nobody has judged it.*clwm label .*--success"):
        recorded_episode(path, 32)
    Labels(success=False).save(path)
    assert recorded_episode(path, 32).goals == ("demonstrated",)


CAMERA = f"/cameras/{ROBOT.cameras[1]}/image_raw/compressed"


@pytest.mark.parametrize(
    ("course", "said"),
    [
        (Course(skip=(CAMERA,)), f"has no pictures of {ROBOT.cameras[1]}"),
        (Course(skip=(names.STATE,)), "has no message on /clwm/state"),
        (Course(state_gap=range(20, 35)), r"no measured state for 0.80 s, 0.95 s after its beginning"),
        (Course(size=(24, 32)), "they are 32 x 24; the encoder was trained on 32 x 32"),
        (Course(pictures={8: b"no jpeg"}), "expected a JPEG or a PNG"),
    ],
)
def test_what_no_episode_can_be_made_of_is_refused_with_its_reason(record, course, said):
    with pytest.raises(RecordingError, match=said):
        recorded_episode(record(course), 32)


def test_without_trajectories_the_rows_that_are_known_are_taken_and_else_what_was_measured(record, rows):
    skip = tuple(arm.controller.topic for arm in ROBOT.arms)
    episode = recorded_episode(record(Course(skip=skip)), 32)
    assert np.array_equal(episode.executed[: 3 * HORIZON + 4], rows[: 3 * HORIZON + 4])
    assert np.array_equal(episode.executed[3 * HORIZON + 4 :], episode.states[3 * HORIZON + 4 :])
