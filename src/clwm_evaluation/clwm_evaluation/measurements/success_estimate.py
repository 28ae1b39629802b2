"""`clwm bench estimate`: how often the policy's own estimate says done wrongly, and misses that it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import CheckpointError, read_policy_document
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.training.sentence_limit import unknown_sentences
from clwm_embodichain.training.success.courses import GOALS
from clwm_embodichain.training.success.data import Dress, Looks, as_in_training, collect
from clwm_embodichain.training.success.rule import Counted, counted
from clwm_embodichain.training.success.trainer import Sentences, probabilities
from clwm_evaluation.report import FirstSeed, Measured, ModelName, Rows, measurement, percent
from clwm_evaluation.statistics import auroc, success_rate
from clwm_evaluation.suites.conditions import SUITES
from clwm_perception.encoder import Encoder
from clwm_policy.model.language import LanguageError, SentenceEncoder
from clwm_policy.model.success_head import (
    FILE_NAME,
    KnownError,
    Rate,
    SuccessFacts,
    SuccessHead,
    load_success_head,
    save_success_head,
)
from clwm_sim.shipped_tasks import TASKS

FIRST_SEED = 1_000_000
_CHANGES = {condition.name: condition.change for condition in SUITES["looks"]}


@dataclass(frozen=True)
class Condition:
    """How the courses look. name: of the suite `looks`, or `training`."""

    name: str
    meaning: str
    dress: Dress
    in_distribution: bool = False


CONDITIONS = (
    Condition("training", "looks of its training", as_in_training, in_distribution=True),
    Condition("random-colours", "random colours", _CHANGES["random-colours"]),
    Condition("cameras-off", "cameras off", _CHANGES["cameras-off"]),
    Condition("strong-looks", "colours and light x 2.5", _CHANGES["strong-looks"]),
)


@measurement(CheckpointError, LanguageError, draws=False)
def estimate(
    console: PlainConsole,
    seeds: Annotated[int, typer.Option(min=5, help="courses of each goal and condition")] = 40,
    data: Annotated[Path, typer.Option(help="what was played is kept here, and used again")] = Path("out/success"),
    write: Annotated[bool, typer.Option("--write", help="state the errors in the head's file")] = False,
    *,
    model: ModelName = "nano",
    first_seed: FirstSeed = FIRST_SEED,
) -> Measured:
    """Courses that no training saw, in its looks and in others: goals are reached, stay, are undone, are missed.

    A course is called done as a task is: by so many chunks in a row above the threshold. Beside it stand controls: the
    features of other moments, the other goal's sentence, and sentences of no goal, for which nothing is ever done.
    """
    torch.set_num_threads(1)
    files = ModelFiles.load(model)
    path = files.policy.with_name(FILE_NAME)
    head, facts = load_success_head(path)
    encoder = Encoder.load(files.encoder)
    if facts.encoder_sha256 != encoder.weights_hash:
        raise CheckpointError(f"{path} reads features of another encoder than {files.encoder}; train it again")
    dresses = {condition.name: condition.dress for condition in CONDITIONS}
    seen = collect(
        data / encoder.weights_hash[:12], dresses, range(first_seed, first_seed + seeds), encoder, console.print
    )
    embed = SentenceEncoder().embed
    inputs = read_policy_document(files.policy.with_suffix(".json")).inputs
    trained = Sentences.embedded(inputs.sentences, unknown_sentences()[1::2], embed)
    worded_anew = Sentences.embedded({goal: TASKS[goal].held_out for goal in GOALS}, unknown_sentences()[1::2], embed)
    by_condition = {
        condition.name: {"meaning": condition.meaning, "in_distribution": condition.in_distribution}
        | errors_of(head, facts, seen[condition.name], trained, worded_anew)
        for condition in CONDITIONS
    }
    if write:
        save_success_head(path, head, facts.model_copy(update={"errors": known_errors(by_condition)}))
        console.print(f"{path}: its errors are stated")
    report = {
        "model": model,
        "policy": files.policy.name,
        "encoder_sha256": facts.encoder_sha256,
        "threshold": facts.threshold,
        "chunks": facts.chunks,
        "made": facts.made,
        "by_condition": by_condition,
    }
    return Measured(report, [page_tables(report)[0].table("the policy's own estimate that it is done", left=2)])


def known_errors(by_condition: Mapping[str, Mapping[str, Any]]) -> dict[str, KnownError]:
    """As a head's file states them."""
    return {
        name: KnownError(
            meaning=found["meaning"],
            in_distribution=found["in_distribution"],
            **{
                what: Rate(count=found["own"][what]["successes"], of=found["own"][what]["episodes"])
                for what in ("false_done", "missed_done")
            },
        )
        for name, found in by_condition.items()
    }


def errors_of(
    head: SuccessHead, facts: SuccessFacts, looks: Looks, trained: Sentences, worded_anew: Sentences
) -> dict[str, Any]:
    """Both rates of one condition's looks, by what is told or given; beside them how probabilities fit the truth."""
    own, none = probabilities(head, looks, trained), np.zeros_like(looks.holds)
    shuffled = own[_permutation_within(looks.goal)]
    told = {
        "own": (own, looks.holds),
        "worded anew": (probabilities(head, looks, worded_anew), looks.holds),
        "other goal's sentence": (probabilities(head, looks, trained, kind=1), none),
        "sentence of no goal": (probabilities(head, looks, trained, kind=2), none),
        "features of other moments": (shuffled, looks.holds),
        "always done": (np.ones_like(own), looks.holds),
        "never done": (np.zeros_like(own), looks.holds),
    }
    rates = {
        name: _rates(counted(probability, holds, looks.course, facts.threshold, facts.chunks))
        for name, (probability, holds) in told.items()
    }
    share = float(looks.holds.mean())
    return rates | {
        "looks": len(own),
        "auroc": auroc(own[~looks.holds], own[looks.holds]),
        "brier": float(np.mean((own - looks.holds) ** 2)),
        "brier_of_a_constant": share * (1.0 - share),
    }


def _rates(found: Counted) -> dict[str, Any]:
    return {
        "false_done": _rate(found.false_done, found.courses),
        "missed_done": _rate(found.missed_done, found.held),
    }


def _rate(count: int, of: int) -> dict[str, Any]:
    rate = success_rate(count, of)
    return {"successes": count, "episodes": of, "wilson95": rate["wilson95"]}


def _permutation_within(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    order, rng = np.arange(len(groups)), np.random.default_rng(0)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        order[members] = rng.permutation(members)
    return order


_SHOWN = (
    "own",
    "worded anew",
    "other goal's sentence",
    "sentence of no goal",
    "features of other moments",
    "never done",
)


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Both errors in each condition, each told its own sentence, and beside it the controls."""
    rows = []
    for found in report["by_condition"].values():
        for told in _SHOWN:
            false, missed = found[told]["false_done"], found[told]["missed_done"]
            rows.append([found["meaning"], told, *_cells(false), *_cells(missed)])
    return [
        Rows(["condition", "told, or given", "done wrongly", "Wilson 95 %", "done and missed", "Wilson 95 %"], rows)
    ]


def _cells(rate: Mapping[str, Any]) -> tuple[str, str]:
    if not rate["episodes"]:
        return "-", "-"
    return f"{rate['successes']} / {rate['episodes']}", percent(rate["wilson95"], 0)
