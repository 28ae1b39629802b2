"""What is recorded is what happened, and what was asked for."""

import re

import numpy as np
import pytest

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes import recorder as module
from clwm_embodichain.episodes.choices import GoalChoice
from clwm_embodichain.episodes.command import RecordOrder, record_all
from clwm_embodichain.episodes.recorder import Recorder
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode, kind_of
from clwm_embodichain.expansion.attempts import REPLANS, RETREAT_ROWS
from clwm_embodichain.expansion.parts import NOTHING, Expansion
from clwm_sim.goals.place import Place
from clwm_sim.registry import goal_kinds

PLACE = GoalChoice("blocks", "place")


@pytest.fixture(scope="module")
def recorder():
    return Recorder(image_size=32)


@pytest.fixture(scope="module")
def disturbed(recorder):
    return recorder.record(PLACE, 3, Expansion.parse("recovery"))


def test_an_episode_says_what_was_asked_in_words_that_training_may_use(disturbed):
    (goal,), (sentence,) = disturbed.goals, disturbed.instructions
    _, block, pad = goal.split(":")
    assert sentence in {text.format(block=block, pad=pad) for text in goal_kinds()["place"].training}
    assert disturbed.success and disturbed.scene == "blocks" and disturbed.expansion == "recovery"
    assert not disturbed.asked.any() and len(disturbed.images) == -(-len(disturbed.executed) // IMAGE_STRIDE)


def test_sentences_are_drawn_anew_for_each_episode(recorder):
    still = GoalChoice("pot", "keep_still")
    assert len({recorder.record(still, seed).instructions for seed in range(5)}) > 1


def test_every_plan_starts_from_what_was_executed_although_that_was_disturbed(disturbed):
    assert np.array_equal(disturbed.plans[:, 0], disturbed.executed[disturbed.image_rows])
    assert np.abs(disturbed.executed - disturbed.commands)[:, 14:28].max() > 1e-3
    assert np.median(np.abs(disturbed.states - disturbed.executed)[:, 14:28]) < 0.005


def test_something_else_may_be_asked_for_midway_and_plans_answer_what_is_asked_then(recorder, monkeypatch):
    monkeypatch.setattr(module, "CHANGE_SHARE", 1.0)
    episodes = [recorder.record(PLACE, seed) for seed in range(4)]
    changed = [episode for episode in episodes if len(episode.goals) == 2]
    stopped = [episode for episode in changed if kind_of(episode.goals[1]) == "keep_still"]
    assert stopped
    for episode in changed:
        assert episode.asked[0] == 0 and episode.asked[-1] == 1
        assert np.abs(np.diff(episode.executed[:, 14:28], axis=0)).max() < 0.15, "no jump where it changes"
        assert _moves(episode)[episode.asked == 0].max() > 0.02
    for episode in stopped:
        assert _moves(episode)[episode.asked == 1].max() < 0.02


def _moves(episode):
    """By how many rad a joint moves at most in the second half of each plan."""
    return np.abs(episode.plans[:, -1, 14:28] - episode.plans[:, 8, 14:28]).max(axis=1)


def test_rows_of_a_retreat_after_a_failure_are_marked(recorder, monkeypatch):
    monkeypatch.setattr(Place, "timeout", 0.5)  # always too short
    episode = recorder.record(PLACE, 3, Expansion.parse("recovery"))
    edges = np.flatnonzero(np.diff(episode.interventions.astype(int)))
    assert not episode.success and len(edges) == 2 * REPLANS
    assert set(np.diff(edges)[::2]) == {RETREAT_ROWS}


def test_an_episode_is_seen_again_in_its_own_looks_bit_for_bit_and_in_others_at_the_same_moments(recorder):
    episode = recorder.record(PLACE, 3, Expansion.parse("visual"))
    again, others, third = (recorder.in_looks(number) for number in (0, 1, 2))
    assert np.array_equal(again, episode.images)
    assert np.array_equal(recorder.in_looks(1), others)
    for one, other in ((episode.images, others), (others, third)):
        assert one.shape == other.shape
        assert np.abs(one.astype(int) - other).mean((1, 2, 3, 4)).min() > 10.0  # every picture is another
    # What moved between two pictures moves in the other looks as well.
    moves = [np.abs(np.diff(it.astype(int), axis=0)).mean((2, 3, 4)).ravel() for it in (episode.images, others)]
    assert np.corrcoef(*moves)[0, 1] > 0.5


def test_the_first_tasks_table_has_one_look(recorder):
    recorder.record(GoalChoice("table", "lift_tray"), 3)
    with pytest.raises(ValueError, match="record one of a scene other than 'table' first"):
        recorder.in_looks(1)


def test_a_seed_recorded_before_is_skipped_and_failed_ones_are_named(tmp_path, monkeypatch, capsys):
    orders = [RecordOrder(GoalChoice("pot", "keep_still"), seed, NOTHING, tmp_path) for seed in (1, 2)]
    real = Recorder.record

    def fails_once(self, choice, seed, expansion):
        episode = real(self, choice, seed, expansion)
        object.__setattr__(episode, "success", seed != 2)
        return episode

    monkeypatch.setattr(Recorder, "record", fails_once)
    record_all(orders, 1, PlainConsole())
    assert "the expert failed in 1 of 2: seeds [2]" in capsys.readouterr().out
    assert not orders[1].path.exists() and Episode.load(orders[0].path).seed == 1
    written = orders[0].path.stat().st_mtime_ns
    record_all(orders[:1], 1, PlainConsole())
    assert "1 of 1 recorded before, 0 to do" in capsys.readouterr().out
    assert orders[0].path.stat().st_mtime_ns == written


def test_references_name_things_of_the_scene_by_sentences_of_training_and_say_where_they_are(recorder):
    episode = recorder.record(PLACE, 3)
    assert len(episode.references) == module.REFERENCES and len(set(episode.references)) > 1
    assert episode.referents.shape == (len(episode.image_rows), module.REFERENCES, 2, 3)
    kinds = goal_kinds()
    for sentence, places in zip(episode.references, episode.referents.swapaxes(0, 1), strict=True):
        assert any(_fits(text, sentence) for kind in kinds.values() for text in kind.training), sentence
        assert np.isfinite(places).all() and (np.abs(places) < 1.0).all()
        assert not np.array_equal(places[:, 0], places[:, 1])


def test_what_is_carried_is_elsewhere_at_the_end_and_what_nobody_touches_where_it_was(recorder, monkeypatch):
    monkeypatch.setattr(module, "CHANGE_SHARE", 0.0)
    moved = {}
    for seed in range(3, 9):
        episode = recorder.record(PLACE, seed)
        _, carried, pad = episode.goals[0].split(":")
        for text, places in zip(episode.references, episode.referents.swapaxes(0, 1), strict=True):
            if text in {each.format(block=carried, pad=pad) for each in goal_kinds()["place"].training}:
                moved[seed] = np.linalg.norm(places[-1] - places[0], axis=-1)
                assert np.linalg.norm(places[-1, 0, :2] - places[-1, 1, :2]) < 0.05, "it lies on the pad"
    assert moved and all(block > 0.05 and pad < 0.001 for block, pad in moved.values())


def test_a_thing_that_is_not_there_is_nowhere(recorder):
    episode = recorder.record(GoalChoice("cue", "recall_side"), 3)
    assert np.isnan(episode.referents[:, :, 1]).all(), "sentences of the cue name the pad alone"


def _fits(template, sentence):
    return re.fullmatch(re.sub(r"\\{\w+\\}", "\\\\w+", re.escape(template)), sentence) is not None
