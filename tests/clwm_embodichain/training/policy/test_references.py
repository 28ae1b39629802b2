"""References: what a sentence of a scene names, learned from many scenes side by side."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes.choices import parse_choices
from clwm_embodichain.training.encoder.data import Frames, write_shard
from clwm_embodichain.training.encoder.roles import OWNERS, ROLES
from clwm_embodichain.training.policy.points import PointHead
from clwm_embodichain.training.policy.references import (
    ReferenceBuffer,
    RenderedReferences,
    goals_in,
    reference_errors,
    reference_loss,
    reference_shards,
    rendered_references,
)
from clwm_embodichain.training.policy.samples import fit_coding
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.sizes import ClwmConfig
from clwm_sim.goals.place import Place
from clwm_sim.goals.stack import Stack

CONFIG = ClwmConfig(width=24, layers=2, heads=2, ffn_width=48, memory_rank=4, feature_channels=8, text_tokens=2)


def seen(count, named=True, first=0):
    """Observations, numbered from `first` on in their referents."""
    numbers = first + torch.arange(count, dtype=torch.float32)
    return SimpleNamespace(
        features=torch.randn(count, CONFIG.visual_tokens, 8),
        proprioception=torch.randn(count, CONFIG.proprioception_width),
        reference=torch.randn(count, CONFIG.language_width),
        referents=numbers[:, None, None].expand(count, 2, 3),
        referents_known=torch.full((count, 1), named).expand(count, 2),
    )


def present(*roles):
    return np.array([role in roles for role in ROLES])


def test_the_buffer_keeps_the_last_observations():
    buffer = ReferenceBuffer(capacity=6)
    assert buffer.draw(2) is None
    for first in (0, 4, 8):
        buffer.add(seen(4, first=first))
    assert len(buffer) == 6
    drawn = {value for _ in range(20) for value in buffer.draw(8).places[:, 0, 0].tolist()}
    assert drawn == {6.0, 7.0, 8.0, 9.0, 10.0, 11.0}


def test_observations_in_which_nothing_is_named_change_neither_the_loss_nor_the_weights():
    torch.manual_seed(0)
    model, head, buffer = Clwm(CONFIG), PointHead(24), ReferenceBuffer(64)
    buffer.add(seen(8, named=False))
    loss = reference_loss(head, model, buffer.draw(4))
    loss.backward()
    assert loss == 0.0 and all(not weight.grad.any() for weight in head.parameters())


def test_one_picture_and_two_sentences_are_learned_to_mean_two_places():
    torch.manual_seed(0)
    model, head, buffer = Clwm(CONFIG), PointHead(24), ReferenceBuffer(64)
    same = seen(2)
    same.features[1] = same.features[0]
    same.proprioception[1] = same.proprioception[0]
    buffer.add(same)
    optimiser = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = reference_loss(head, model, buffer.draw(16))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_a_rendered_state_offers_the_goals_of_what_is_in_it():
    blocks = present("red block", "blue block", "green pad", "left tool", "right base")
    names = {goal.name for goal in goals_in(blocks, "blocks", [Place, Stack])}
    assert names == {"place:red:green", "place:blue:green", "stack:red:blue", "stack:blue:red"}
    assert goals_in(blocks, "tray", [Place, Stack]) == ()


def test_a_drawn_sentence_goes_with_the_places_of_what_it_names_in_its_own_order(made_up_episode):
    coding = fit_coding([made_up_episode(1, "lift")])
    there = present("red block", "blue block", "green pad")
    places = np.arange(len(ROLES) * 3, dtype=np.float32).reshape(1, -1, 3) / 300.0
    told = []

    def numbered(text):
        told.append(text)
        return torch.tensor([len(told) - 1.0])

    goals = [goals_in(there, "blocks", [Stack])]
    drawn = RenderedReferences(torch.zeros(1, 48, 8).half(), places, goals, coding, numbered).draw(24)
    assert len(told) > 4 and drawn.known.all()
    low, high = (getattr(coding.codec.absolute, name)[:3] for name in ("low", "high"))
    for sentence, found in zip(drawn.sentences, drawn.places, strict=True):
        text = told[int(sentence)]
        red_first = [goal.slots["upper"] == "red" for goal in goals[0] if text in goal.sentences()]
        order = ("red block", "blue block") if red_first == [True] else ("blue block", "red block")
        decoded = found[0].numpy() * (high - low) / 2 + (high + low) / 2
        np.testing.assert_allclose(decoded, places[0, ROLES.index(order[0])], atol=1e-4)


def test_a_shard_is_encoded_once_and_drawn_from_where_words_choose_among_things(made_up_episode, embed, tmp_path):
    coding = fit_coding([made_up_episode(1, "lift")])
    tokens = made_up_episode(1, "lift").features.shape[1:]
    calls = []

    def encoder(pictures):
        calls.append(pictures.shape)
        return np.zeros(tokens, np.float16)

    chosen = np.stack([present("red block", "blue block", "green pad"), present("red block")])
    size, points = 8, len(OWNERS)
    frames = Frames(
        np.zeros((2, 1, 3, size, size, 3), np.uint8),
        np.zeros((2, len(ROLES), 5), np.float32),
        chosen,
        np.zeros((2, 1, 3, points, 2), np.float32),
        np.zeros((2, 1, 3, size // 4, size // 4), np.uint8),
    )
    write_shard(tmp_path / "blocks-000001.npz", frames)
    for _ in range(2):
        choices = parse_choices("blocks")
        given = [tmp_path / "blocks-000001.npz"], choices, tmp_path / "cache", encoder, coding, embed, PlainConsole()
        found = rendered_references(*given)
    assert len(found) == 1 and len(calls) == 2, "one state of use, and each picture encoded once"
    write_shard(tmp_path / "blocks-000001.npz", replace(frames, images=frames.images + 1))
    rendered_references(*given)
    assert len(calls) == 4, "rendered anew under the same name"
    assert found.draw(5).features.shape == (5, np.prod(tokens[:-1]), tokens[-1])


def test_files_are_of_scenes_whose_sentences_name_something_and_one_alone_is_refused(tmp_path):
    for name in ("blocks-000004", "pot-000003", "switches-000002"):
        (tmp_path / f"{name}.npz").touch()
    for goals in ("blocks", "pot"):
        with pytest.raises(ValueError, match=r"--references .* at least two.*encoder\.render"):
            reference_shards(tmp_path, parse_choices(goals))
    found = reference_shards(tmp_path, parse_choices("all"))
    assert [path.stem for path in found] == ["blocks-000004", "switches-000002"]


def test_errors_of_references_and_their_control_tell_who_listens_from_who_does_not(made_up_episode, embed):
    coding = fit_coding([made_up_episode(1, "lift")])
    places = np.random.default_rng(0).uniform(-0.3, 0.3, (40, len(ROLES), 3)).astype(np.float32)
    goals = [goals_in(present("red block", "blue block"), "blocks", [Stack])] * 40
    unseen = RenderedReferences(torch.zeros(40, CONFIG.visual_tokens, 8).half(), places, goals, coding, embed)

    class Answer(PointHead):
        """Says what is true of the sentence that it is told, or of the first one."""

        def __init__(self, listens):
            super().__init__(24)
            self.listens, self.asked = listens, 0

        def places(self, *_):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                told, misled = unseen.draw_pairs(40)
            self.asked += 1
            return (misled if self.listens and self.asked == 2 else told).places

    model = Clwm(replace(CONFIG, text_tokens=embed("").numel() // CONFIG.text_width))
    listening, deaf = (reference_errors(Answer(listens), model, unseen, 40) for listens in (True, False))
    assert listening["referent_mm"] == deaf["referent_mm"] == deaf["referent_misled_mm"] == 0.0
    assert listening["referent_misled_mm"] > 100.0 and 100.0 < listening["referent_mean_mm"] < 400.0
