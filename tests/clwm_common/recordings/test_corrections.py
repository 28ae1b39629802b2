"""What counts as one correction, and what is said of it."""

import pytest

from clwm_common.messages import Mode
from clwm_common.recordings.corrections import Correction, CorrectionLabel, Corrections, corrections_of, replaced

POLICY, TELEOP, HOLD, ESTOP = Mode


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ([POLICY, HOLD, POLICY], []),
        ([POLICY, HOLD, TELEOP, HOLD, POLICY], [(2, 4)]),
        ([TELEOP, POLICY], [(0, 1)]),
        ([POLICY, TELEOP, HOLD, TELEOP, ESTOP, HOLD, TELEOP, POLICY, POLICY], [(1, 7)]),
        ([POLICY, TELEOP, POLICY, TELEOP, HOLD], [(1, 2), (3, None)]),
    ],
)
def test_a_correction_is_all_that_a_human_did_between_two_turns_of_the_policy(modes, expected):
    assert [(it.begin, it.end) for it in corrections_of(enumerate(modes))] == expected


def test_only_the_last_correction_is_labelled_and_a_label_outlives_its_end():
    corrections = Corrections()
    for now, mode in enumerate([TELEOP, POLICY, TELEOP]):
        corrections.hear(now, mode)
    corrections.label_last(CorrectionLabel.RECOVERY)
    corrections.hear(9, POLICY)
    none, recovery = CorrectionLabel.NONE, CorrectionLabel.RECOVERY
    assert corrections.found == [Correction(0, 1, none), Correction(2, 9, recovery)]


def test_the_same_correction_has_one_label_wherever_it_was_seen_to_begin():
    known = (Correction(10, 20, CorrectionLabel.DISCARDED), Correction(30, 40, CorrectionLabel.DISCARDED))
    again = replaced(known, Correction(12, None, CorrectionLabel.RECOVERY))
    assert again == (Correction(12, None, CorrectionLabel.RECOVERY),)  # what has no end is all there is
    again = replaced(known, Correction(29, 41, CorrectionLabel.RECOVERY))
    assert again == (known[0], Correction(29, 41, CorrectionLabel.RECOVERY))
    assert replaced(known, Correction(10, 21)) == known[1:]
