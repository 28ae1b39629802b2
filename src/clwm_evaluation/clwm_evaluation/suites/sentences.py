"""`clwm bench sentences`: whether a policy tells what it was taught to do from what nobody taught it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import PolicyInputs, read_policy_document
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes.choices import GoalChoice, choices
from clwm_embodichain.training.sentence_limit import best_limit, held_out_sentences, unknown_sentences
from clwm_embodichain.training.trained_inputs import with_sentence_limit
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.report import Measured, Rows, measurement, percent
from clwm_evaluation.statistics import auroc, success_rate
from clwm_policy.model.checkpoint import CheckpointError, restate_inputs
from clwm_policy.model.known_sentences import KnownSentences
from clwm_policy.model.language import LanguageError, SentenceEncoder
from clwm_sim.scenes.task_table import TABLE

SHOWN = 5  # of the least and the most similar ones


@measurement(CheckpointError, LanguageError, OSError, draws=False)
def sentences(
    console: PlainConsole,
    write: Annotated[bool, typer.Option("--write", help="state the limit in the checkpoint; the weights stay")] = False,
    *,
    source: Source,
) -> Measured:
    """Similarity to the policy's sentences of wordings that no training saw, of sentences that no goal is about, and,
    which is harder, of sentences for goals that the policy was not taught.

    The limit is what the checkpoint states, or would; beside it stands how a limit does that was found on one half of
    the sentences, on the other half.
    """
    path = source.policy or ModelFiles.load(source.model).policy
    inputs = read_policy_document(path.with_suffix(".json")).inputs
    taught = taught_goals(inputs)
    if not taught:
        raise CheckpointError(f"{path}: its sentences are those of no goal here; train it again with this release")
    embed = SentenceEncoder().embed
    found = with_sentence_limit(inputs, taught, embed)
    if write:
        restate_inputs(path, found)
        console.print(f"{path.with_suffix('.json')}: sentences are known from {found.least_similarity} on")
    report = {"model": source.model, "policy": path.name, "stated_limit": inputs.least_similarity}
    kinds = {choice.kind for choice in taught}
    others = tuple(choice for choice in choices() if choice.kind not in kinds)
    wordings = held_out_sentences(taught), held_out_sentences(others)
    report |= compared(KnownSentences(found, embed), found.least_similarity, *wordings)
    shares, extremes = page_tables(report)
    return Measured(report, [shares.table("sentences"), extremes.table("those nearest to the limit", left=2)])


def taught_goals(inputs: PolicyInputs) -> tuple[GoalChoice, ...]:
    """The goals whose own wordings a policy was trained with."""
    return tuple(
        choice
        for choice in (*choices(TABLE.name), *choices())
        if set(inputs.sentences.get(choice.kind, ())) == set(choice.sentences)
    )


def compared(
    known: KnownSentences,
    limit: float,
    held_out: Mapping[str, Sequence[str]],
    others: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """AUROC, and shares on the right side of the limit, of held-out wordings by goal and unknown sentences.

    others: sentences by goal that the policy was not taught.
    """
    elsewhere = [_row(known, sentence) for texts in others.values() for sentence in texts]
    unknown = [_row(known, sentence) for sentence in unknown_sentences()]
    wordings = [_row(known, sentence) | {"asks_for": goal} for goal, texts in held_out.items() for sentence in texts]
    taught, untaught = (np.array([row["similarity"] for row in rows]) for rows in (wordings, unknown))
    halves = [(best_limit(taught[half::2], untaught[half::2]), 1 - half) for half in (0, 1)]
    return {
        "limit": limit,
        "auroc": auroc(untaught, taught),
        "held_out": success_rate(int((taught >= limit).sum()), len(taught)),
        "unknown": success_rate(int((untaught < limit).sum()), len(untaught)),
        "other_goals": success_rate(sum(row["similarity"] < limit for row in elsewhere), len(elsewhere)),
        "held_out_by_limit_of_other_half": success_rate(
            sum(int((taught[other::2] >= found).sum()) for found, other in halves), len(taught)
        ),
        "unknown_by_limit_of_other_half": success_rate(
            sum(int((untaught[other::2] < found).sum()) for found, other in halves), len(untaught)
        ),
        "held_out_nearest_to_own_goal": success_rate(
            sum(row["goal"] == row["asks_for"] for row in wordings), len(wordings)
        ),
        "held_out_sentences": sorted(wordings, key=lambda row: row["similarity"]),
        "unknown_sentences": sorted(unknown, key=lambda row: -row["similarity"]),
        "other_goals_sentences": sorted(elsewhere, key=lambda row: -row["similarity"]),
    }


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Shares with their intervals, and the sentences that are nearest to the wrong side."""
    shares = [["AUROC", f"{report['auroc']:.4f}", ""]]
    for what, name in (
        ("held-out wordings taken", "held_out"),
        ("unknown sentences refused", "unknown"),
        ("sentences for other goals refused", "other_goals"),
        ("held-out, limit of the other half", "held_out_by_limit_of_other_half"),
        ("unknown, limit of the other half", "unknown_by_limit_of_other_half"),
        ("held-out nearest to their own goal", "held_out_nearest_to_own_goal"),
    ):
        shares.append([what, f"{100 * report[name]['success_rate']:.1f} %", percent(report[name]["wilson95"])])
    extremes = [
        [what, row["sentence"], f"{row['similarity']:.2f}", row["nearest"]]
        for what, rows in (
            ("held-out", report["held_out_sentences"]),
            ("unknown", report["unknown_sentences"]),
            ("other goal", report["other_goals_sentences"]),
        )
        for row in rows[:SHOWN]
    ]
    return [
        Rows([f"limit {report['limit']:.2f}", "share", "Wilson 95 %"], shares),
        Rows(["", "sentence", "similarity", "nearest known"], extremes),
    ]


def _row(known: KnownSentences, sentence: str) -> dict[str, Any]:
    found = known.nearest(sentence)
    return {
        "sentence": sentence,
        "similarity": round(found.similarity, 4),
        "nearest": found.sentence,
        "goal": found.goal,
    }
