"""Every goal is played in its share, evenly, and none starves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clwm_embodichain.episodes.choices import GoalChoice, choices, kinds_of, parse_choices
from clwm_embodichain.episodes.schedule import FLOOR, STILL_SHARE, Schedule, ScheduleError
from clwm_sim.registry import RegistryError

ALL = choices()


@given(st.dictionaries(st.sampled_from([str(choice) for choice in ALL]), st.floats(0.0, 1.0)), st.integers(0, 10**5))
def test_no_goal_waits_much_longer_than_its_share_says_whatever_succeeds(success, first):
    schedule = Schedule(ALL, success)
    played = [str(schedule.choose(number)) for number in range(first, first + 800)]
    for choice, share in zip(ALL, schedule.shares, strict=True):
        places = np.flatnonzero([name == str(choice) for name in played])
        assert abs(len(places) / 800 - share) < 0.01
        assert np.diff(places).max() <= 3.0 / share


def test_what_fails_is_played_more_often_and_what_succeeds_is_never_forgotten():
    schedule = Schedule(choices("blocks"), {"blocks/place": 1.0})
    shares = dict(zip(map(str, schedule.choices), schedule.shares, strict=True))
    assert shares["blocks/place"] == pytest.approx(FLOOR * shares["blocks/stack"])
    assert shares["blocks/keep_still"] == pytest.approx(STILL_SHARE), "asked for in any case"


def test_every_writer_of_a_stream_plays_all_goals():
    schedule = Schedule(ALL)
    for writers in (1, 2, 3, 20):
        for writer in range(writers):
            assert {schedule.choose(seed) for seed in range(writer, 100 * writers, writers)} == set(ALL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"blocks/dance": 0.4}', "goal 'blocks/dance' is not played; expected some of blocks/place"),
        ('{"blocks/place": 40}', "success of 'blocks/place' is 40; expected a rate from 0 to 1"),
        ("[1, 2]", "expected JSON such as"),
        ("{", "expected JSON such as"),
    ],
)
def test_success_rates_that_cannot_be_meant_are_refused(tmp_path, content, message):
    path = tmp_path / "success.json"
    path.write_text(content)
    with pytest.raises(ScheduleError, match=message):
        Schedule.read(ALL, path)


def test_choices_are_read_by_scene_and_by_goal():
    assert parse_choices("blocks/stack, cue") == (
        GoalChoice("blocks", "stack"),
        GoalChoice("cue", "recall_side"),
        GoalChoice("cue", "keep_still"),
    )
    assert parse_choices("all") == ALL and "table" not in {choice.scene for choice in ALL}
    assert parse_choices("table/lift_tray") == (GoalChoice("table", "lift_tray"),)
    for text, message in (
        ("attic", "scene 'attic' does not exist"),
        ("pot/place", "scene 'pot' offers no goal 'place'; it offers lift_pot, keep_still"),
        ("table/fold", "scene 'table' offers no goal 'fold'; it offers lift_tray"),
    ):
        with pytest.raises(RegistryError, match=message):
            parse_choices(text)


def test_goals_that_an_episode_may_go_on_with_are_among_the_kinds():
    assert set(kinds_of(parse_choices("blocks/place"))) == {"place", "stack", "keep_still"}
    assert kinds_of(parse_choices("table/lift_tray")) == ("lift_tray",)
