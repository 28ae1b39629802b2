"""`clwm bench streaming`: what fresh simulated trajectories are worth to a training of the same length."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes.choices import kinds_of, parse_choices
from clwm_embodichain.expansion.parts import NOTHING
from clwm_embodichain.stream.sources import (
    OnlineSettings,
    SampleCoder,
    TrainingSource,
    held_out_episodes,
    online_source,
    record_and_encode,
    source_of,
)
from clwm_embodichain.training.curves import Curves
from clwm_embodichain.training.policy.train import GOALS, train
from clwm_embodichain.training.policy.trainer import TrainingSettings
from clwm_embodichain.training.trained_inputs import trained_inputs
from clwm_evaluation.plots import panels
from clwm_evaluation.report import Measured, ModelName, Rows, Workers, measurement, paired_difference, percent
from clwm_evaluation.statistics import compare_pairs, success_rate
from clwm_evaluation.success_rates.command import run_with_progress
from clwm_evaluation.success_rates.evaluation import EvaluationSettings
from clwm_perception.encoder import Encoder, EncoderError
from clwm_policy.model.language import SentenceEncoder
from clwm_policy.model.sizes import PRESETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATIC = "static"
_LATENCY = "30"  # ms, the same for all, so that success does not depend on what else the machine does
_VALIDATE_MINUTES = 2.0
_PRESET, _STREAMS = "nano", 6


@dataclass(frozen=True)
class Contestant:
    """A training: on `episodes` recorded once, or online with at most `reuse` walks through a trajectory."""

    name: str
    reuse: int | None

    @classmethod
    def parse(cls, text: str) -> Contestant:
        """`static` or `reuse:<walks>`. Raises ValueError."""
        head, _, number = text.partition(":")
        if text == STATIC:
            return cls(text, None)
        if head == "reuse" and number.isdigit() and int(number) > 0:
            return cls(text, int(number))
        raise ValueError(f"contestant '{text}' is unknown; expected {STATIC} or reuse:<walks>, such as reuse:10")


@dataclass(frozen=True)
class Setup:
    """What all contestants share."""

    base: EvaluationSettings
    encoder: Encoder
    coder: SampleCoder
    settings: TrainingSettings
    demonstrations: int
    out: Path
    console: PlainConsole

    def folder(self, contestant: Contestant) -> Path:
        return self.out / contestant.name.replace(":", "_")


@measurement(EncoderError, RuntimeError, ValueError)
def streaming(
    console: PlainConsole,
    contestants: Annotated[
        str, typer.Option(help="trainings to compare, with commas: static, reuse:<walks>")
    ] = "static,reuse:60,reuse:10,reuse:3",
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of each training")] = 1000,
    demonstrations: Annotated[int, typer.Option(min=2, help="recorded episodes of the static training")] = 32,
    episodes: Annotated[int, typer.Option(min=1, help="to evaluate each with, per task")] = 100,
    workers: Workers = 1,
    model: ModelName = "nano",
    out: Annotated[Path, typer.Option(help="trainings and evaluations; what is finished there is not done again")] = (
        Path("out/streaming")
    ),
    seed: int = 0,
) -> Measured:
    """Trainings of equal length: on few demonstrations again and again, and on trajectories simulated meanwhile.

    The trainings are alike in model, settings, seed and number of steps, and online ones hold as many trajectories at
    once as the static one has; only how often each is walked through differs. About 15 minutes a training on two cores.
    """
    torch.set_num_threads(1)
    parsed = [Contestant.parse(text.strip()) for text in contestants.split(",")]
    # Every policy is new: no graphs were exported for it, and no bounds calibrated.
    goals = parse_choices(GOALS)
    base = EvaluationSettings.of_model(
        model, task=goals[0].kind, sai="sequential", latency=_LATENCY, backends=("torch",)
    )
    jacobians = DualArmKinematics(RobotDescription.load("dual_fr3_mujoco")).jacobians
    setup = Setup(
        base=replace(base, episodes=episodes, workers=workers),
        encoder=Encoder.load(base.encoder),
        coder=SampleCoder(SentenceEncoder(PRESETS["nano"].text_tokens).embed, jacobians, goals),
        settings=TrainingSettings(minutes=1e6, steps=steps, streams=_STREAMS, seed=seed),
        demonstrations=demonstrations,
        out=out,
        console=console,
    )
    found = [contest(setup, contestant) for contestant in parsed]
    report = {"steps": steps, "demonstrations": demonstrations, "contestants": found}
    report["against_first"] = against_first(found)
    table = page_tables(report)[0].table(f"{steps} optimiser steps each")
    return Measured(report, [table], lambda: draw_streaming(report))


def contest(setup: Setup, contestant: Contestant) -> dict[str, Any]:
    """Train, unless that was done before, then evaluate on seeds that are the same for all."""
    folder, console = setup.folder(contestant), setup.console
    policy = folder / "policy.safetensors"
    if _facts_of(policy).get("steps", 0) < setup.settings.steps:
        console.print(f"{contestant.name}: training of {setup.settings.steps} steps", highlight=False)
        with _source(setup, contestant) as source:
            inputs = trained_inputs(setup.coder.choices, setup.encoder.checkpoint, setup.coder.embed)
            if not train(
                source,
                setup.coder.choices,
                setup.settings,
                _PRESET,
                inputs,
                setup.encoder.weights_hash,
                folder,
                policy,
                _VALIDATE_MINUTES,
                console,
            ):
                raise typer.Exit(130)
    facts = _facts_of(policy)
    reports = {task: _evaluated(setup, policy, task) for task in kinds_of(setup.coder.choices)}
    successes = {task: report["successes"] for task, report in reports.items()}
    total = setup.base.episodes * len(reports)
    return {
        "name": contestant.name,
        **{name: facts[name] for name in ("episodes", "observations", "walks", "reuse", "minutes", "validation")},
        "stream": facts.get("stream"),
        "trials": total,
        "successes": successes,
        **success_rate(sum(successes.values()), total),
        "outcomes": [
            episode["outcome"] == "success" for report in reports.values() for episode in report["per_episode"]
        ],
        "curve": [
            {name: record[name] for name in ("step", "eef_mm", "eef_p90_mm", "surrogate_over_copy")}
            for record in Curves(folder / "curves.jsonl").records()
            if "eef_mm" in record
        ],
    }


def against_first(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each further contestant gains over the first, on the same seeds."""
    first = found[0]["outcomes"]
    return {one["name"]: compare_pairs(list(zip(one["outcomes"], first, strict=True))) for one in found[1:]}


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row per training."""
    header = ["training", "episodes", "walks through each", "unique observations a step", "held-out error mm"]
    header += ["success", "Wilson 95 %", "points to the first (95 %)", "McNemar exact p"]
    rows = [
        [
            found["name"],
            str(found["episodes"]),
            f"{found['reuse']:.1f}",
            f"{found['observations'] / report['steps']:.2f}",
            f"{found['validation']['eef_mm']:.1f}",
            f"{sum(found['successes'].values())} / {found['trials']}",
            percent(found["wilson95"]),
            *paired_difference(report["against_first"].get(found["name"])),
        ]
        for found in report["contestants"]
    ]
    return [Rows(header, rows)]


def draw_streaming(report: dict[str, Any]) -> Figure:
    """Held-out error over the steps, and success by the number of walks through a trajectory."""
    figure, (left, right) = panels(2, 9.0, 3.4)
    for one in report["contestants"]:
        steps = [point["step"] for point in one["curve"]]
        left.plot(steps, [point["eef_mm"] for point in one["curve"]], marker=".", label=one["name"])
    left.set(xlabel="optimiser steps", ylabel="held-out chunk error, median [mm]", yscale="log")
    for which in (left.yaxis.set_major_formatter, left.yaxis.set_minor_formatter):
        which("{x:g}")
    left.grid(alpha=0.3, which="both")
    left.legend()
    rates = [100 * one["success_rate"] for one in report["contestants"]]
    ends = [[100 * one["wilson95"][side] for one in report["contestants"]] for side in (0, 1)]
    spans = [[abs(rate - end) for rate, end in zip(rates, side, strict=True)] for side in ends]
    names = [f"{one['name']}\n{one['episodes']} episodes" for one in report["contestants"]]
    right.bar(names, rates, yerr=spans, capsize=4, color=[f"C{index}" for index in range(len(names))])
    right.set(ylabel="success [%]", ylim=(0, 100))
    right.tick_params(axis="x", labelsize=8)
    return figure


@contextmanager
def _source(setup: Setup, contestant: Contestant) -> Iterator[TrainingSource]:
    encoder, coder, folder = setup.encoder, setup.coder, setup.folder(contestant)
    seed, out, workers = setup.settings.seed, setup.out, setup.base.workers
    held_out = held_out_episodes(out / "held_out", encoder, coder.choices, NOTHING, workers, setup.console)
    if contestant.reuse is None:
        each = setup.demonstrations // len(coder.choices)
        training = record_and_encode(coder.choices, each, 0, out / "recorded", encoder, NOTHING, workers, setup.console)
        yield source_of(training, held_out, folder, coder, _STREAMS, seed)
        return
    stream = OnlineSettings(
        workers=workers, reuse=contestant.reuse, capacity=setup.demonstrations, fitted_on=setup.demonstrations
    )
    with online_source(stream, setup.base.encoder, held_out, folder, coder, _STREAMS, seed, setup.console) as source:
        yield source


def _evaluated(setup: Setup, policy: Path, task: str) -> dict[str, Any]:
    kept = policy.with_name(f"eval_{task}.json")
    if kept.exists():
        report = json.loads(kept.read_text())
        if report["episodes"] == setup.base.episodes:
            return report
    report = run_with_progress(replace(setup.base, task=task, policy=policy), setup.console)
    kept.write_text(json.dumps(report))
    return report


def _facts_of(policy: Path) -> dict[str, Any]:
    facts = policy.with_suffix(".json")
    return json.loads(facts.read_text())["facts"] if policy.exists() and facts.exists() else {}
