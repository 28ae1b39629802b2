"""The alarm for a world out of distribution: what raises it, what clears it, and how it is told."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_common.messages import SaiReport
from clwm_policy.engine.calibration import CalibrationError, fit_surrogate_error_limit
from clwm_policy.engine.re_entry import parse_re_entry
from clwm_policy.engine.surprise_alarm import CLEAR_AFTER, RAISE_AFTER, SurpriseAlarm, calibrated_alarm
from clwm_policy.session import Notice, Session, Severity

HIGH, LOW = 2.0, 0.5


def told(errors, alarm=None):
    alarm = alarm or SurpriseAlarm(1.0)
    return [alarm.add(error) for error in errors]


def test_only_a_run_of_errors_above_the_limit_raises_it():
    assert told([HIGH, HIGH, LOW] * 10) == [False] * 30
    assert told([HIGH] * RAISE_AFTER) == [False] * (RAISE_AFTER - 1) + [True]


def test_once_raised_only_a_longer_run_within_the_limit_clears_it():
    raised = [HIGH] * RAISE_AFTER
    assert all(told(raised + ([LOW] * (CLEAR_AFTER - 1) + [HIGH]) * 5)[RAISE_AFTER - 1 :])
    assert told(raised + [LOW] * CLEAR_AFTER)[-2:] == [True, False]


def test_an_error_at_the_limit_is_within_it_and_one_without_bounds_is_not():
    assert not any(told([1.0] * 10))
    assert told([math.inf] * RAISE_AFTER)[-1]


@given(st.lists(st.sampled_from([HIGH, LOW, math.nan]), max_size=60))
def test_chunks_without_a_surrogate_change_nothing(errors):
    without = [error for error in errors if not math.isnan(error)]
    seen = [state for state, error in zip(told(errors), errors, strict=True) if not math.isnan(error)]
    assert seen == told(without)


@given(st.lists(st.sampled_from([HIGH, LOW]), max_size=60))
def test_it_never_changes_twice_within_fewer_chunks_than_a_run_takes(errors):
    states = [False, *told(errors)]
    changes = [index for index, (one, other) in enumerate(zip(states, states[1:], strict=False)) if one != other]
    assert all(later - earlier >= RAISE_AFTER for earlier, later in zip(changes, changes[1:], strict=False))


@given(st.lists(st.sampled_from([HIGH, LOW]), min_size=1, max_size=20))
def test_after_a_reset_it_is_as_new(errors):
    used = SurpriseAlarm(1.0)
    told(errors, used)
    used.reset()
    assert told([HIGH] * RAISE_AFTER, used) == told([HIGH] * RAISE_AFTER)


@pytest.mark.parametrize("text", ["sequential", "fixed:0.5", "adaptive"])
def test_without_a_calibrated_limit_there_is_no_alarm(text):
    assert calibrated_alarm(parse_re_entry(text)) is None


def test_the_shipped_calibration_has_a_limit():
    document = json.loads((Path(__file__).parents[3] / "models/nano/calibration.json").read_text())
    assert 0.0 < document["surrogate_error_limit"] < 2.0


def play(session, episode, chunks):
    """Whether every report was out of distribution, and the notices."""
    flags, notices = [], []
    for _ in range(chunks):
        list(session.on_request(episode.next_request(), 0.0))
        while session.advance():
            pass
        session.on_state(episode.state())
        for output in session.on_frame(episode.frame(), 0.0):
            if isinstance(output, SaiReport):
                flags.append(output.out_of_distribution)
            elif isinstance(output, Notice):
                notices.append(output)
            else:
                episode.last = output
    return flags, notices


@pytest.mark.parametrize(
    ("limit", "flags"), [(1e-9, [False] * 3 + [True] * 2), (1e9, [False] * 5), (None, [False] * 5)]
)
def test_reports_of_a_session_say_it_and_the_operator_is_told_once(make_episode, limit, flags):
    # The first chunk has no surrogate; the pictures of this episode are noise, which nothing can predict.
    episode = make_episode("fixed:0.5")
    alarm = None if limit is None else SurpriseAlarm(limit)
    session = Session(episode.engine, lambda: 0.0, alarm=alarm)
    found, notices = play(session, episode, 5)
    assert found == flags
    assert [notice.severity for notice in notices] == [Severity.WARNING] * any(flags)
    list(session.stop())
    assert alarm is None or not alarm.is_raised


def test_the_limit_is_exceeded_as_seldom_as_stated():
    rng = np.random.default_rng(0)
    limit = fit_surrogate_error_limit(rng.lognormal(size=2000))
    assert np.mean(rng.lognormal(size=20000) > limit) < 0.015


@pytest.mark.parametrize(
    ("errors", "said"), [([0.1] * 98, "98 surrogate errors; at least 99"), ([math.nan] * 200, "finite")]
)
def test_errors_that_bound_nothing_are_refused(errors, said):
    with pytest.raises(CalibrationError, match=said):
        fit_surrogate_error_limit(errors)
