"""`clwm bench interventions`: what a policy gains from a human who corrects it where it fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import parse_choices
from clwm_embodichain.expansion.parts import NOTHING
from clwm_embodichain.stream.sources import SampleCoder, TrainingSource, record_and_encode, source_of
from clwm_embodichain.training.policy.experience import ExperienceSettings, beside, keep_coding, load_experience
from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.train import FROM_CHECKPOINT_RATE, GOALS, train
from clwm_embodichain.training.policy.trainer import TrainingSettings
from clwm_evaluation.interventions.collecting import Collector
from clwm_evaluation.plots import panels
from clwm_evaluation.report import Measured, ModelName, Rows, measurement, paired_difference, percent
from clwm_evaluation.statistics import compare_pairs, success_rate
from clwm_evaluation.success_rates.evaluation import FIRST_SEED, EvaluationSettings, check_settings
from clwm_evaluation.suites.command import LATENCY, SAI
from clwm_evaluation.suites.conditions import HEAD_TURNED, NOMINAL_CONDITION, SUITES
from clwm_evaluation.suites.episodes import POLICY, Episodes, Job, Ledger
from clwm_perception.encoder import Encoder, EncoderError
from clwm_policy.model.checkpoint import load_policy
from clwm_policy.model.language import SentenceEncoder
from clwm_sim.world import ROBOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUITE, BEFORE = "cameras", "before"
FIRST_CORRECTED = 700_000  # seeds of the episodes that are learned from; other trainings stay below
NOMINAL = NOMINAL_CONDITION.name
CONDITIONS = (HEAD_TURNED, NOMINAL)
STEPS = 4  # of each flow
_KEEP_MINUTES = 5.0  # of training between two states on disk


@dataclass(frozen=True)
class Contestant:
    """A fine-tuning. is_attended: on episodes with the human's corrections, or on those of the policy alone."""

    name: str
    meaning: str
    is_attended: bool
    settings: ExperienceSettings


CONTESTANTS = (
    Contestant("interventions", "corrected episodes, weighted", True, ExperienceSettings()),
    Contestant(
        "unweighted",
        "the same episodes, all rows alike",
        True,
        ExperienceSettings(intervention_weight=1.0, before_takeover=0.0),
    ),
    Contestant(
        "own rollouts", "as many of the policy's own episodes, those that succeeded", False, ExperienceSettings()
    ),
)


@dataclass(frozen=True)
class Study:
    """What all contestants share."""

    base: EvaluationSettings
    goal: str
    encoder: Encoder
    coder: SampleCoder
    training: TrainingSettings
    corrected: int
    rehearsed: int
    seeds: dict[str, range]
    out: Path
    console: PlainConsole

    def policy(self, name: str) -> Path:
        return self.base.policy if name == BEFORE else self.out / name.replace(" ", "_") / "policy.safetensors"

    def settings(self, name: str) -> EvaluationSettings:
        return replace(self.base, policy=self.policy(name))


@measurement(EncoderError, RuntimeError, ValueError)
def interventions(
    console: PlainConsole,
    task: Annotated[str, typer.Option(help="lift_tray or place_block")] = "place_block",
    contestants: Annotated[str, typer.Option(help="fine-tunings to compare, with commas")] = ",".join(
        it.name for it in CONTESTANTS
    ),
    corrected: Annotated[int, typer.Option(min=1, help="episodes with the human beside the policy")] = 40,
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of each fine-tuning")] = 60,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = FROM_CHECKPOINT_RATE,
    streams: Annotated[int, typer.Option(min=2, help="half through these episodes, half through recorded ones")] = 6,
    rehearsed: Annotated[int, typer.Option(min=3, help="recorded episodes of each goal of the training before")] = 12,
    episodes: Annotated[int, typer.Option(min=1, help="to evaluate each policy with")] = 100,
    nominal_episodes: Annotated[int, typer.Option(min=1, help="the same with nothing changed")] = 50,
    model: ModelName = "nano",
    out: Annotated[Path, typer.Option(help="what is finished there is not done again")] = Path("out/interventions"),
    seed: int = 0,
) -> Measured:
    """The head camera is turned by 6 degrees, and the policy fails: a scripted human corrects it by teleoperation, and
    it is fine-tuned on that. Beside it fine-tunings of the same length without the corrections' weight, and on the
    policy's own episodes. All on the same seeds, in that condition and in the nominal one.
    """
    torch.set_num_threads(1)
    base = EvaluationSettings.of_model(
        model,
        task=task,
        sai=SAI,
        latency=LATENCY,
        backends=("torch",),
        video_steps=STEPS,
        action_steps=STEPS,
        episodes=episodes,
    )
    check_settings(base)
    choices = parse_choices(GOALS)
    goal = f"table/{task}"
    if goal not in map(str, choices):
        raise ValueError(f"task '{task}' is not one of {GOALS}")
    embed = SentenceEncoder(load_policy(base.policy).model.config.text_tokens).embed
    study = Study(
        base=base,
        goal=goal,
        encoder=Encoder.load(base.encoder),
        coder=SampleCoder(embed, DualArmKinematics(RobotDescription.load(ROBOT)).jacobians, choices),
        training=TrainingSettings(
            minutes=1e6,
            steps=steps,
            streams=streams,
            learning_rate=learning_rate,
            warmup_steps=min(20, steps),
            seed=seed,
        ),
        corrected=corrected,
        rehearsed=rehearsed,
        seeds={
            condition: range(FIRST_SEED, FIRST_SEED + count)
            for condition, count in ((HEAD_TURNED, episodes), (NOMINAL, nominal_episodes))
        },
        out=out,
        console=console,
    )
    chosen = [contestant_named(name) for name in contestants.split(",")]
    before = evaluated(study, BEFORE)
    takeovers = {is_attended: collect(study, is_attended=is_attended) for is_attended in (True, False)}
    found = [{"name": BEFORE, "meaning": "the policy as it is shipped", "outcomes": before}]
    for contestant in chosen:
        facts = fine_tuned(study, contestant)
        found.append(
            {
                "name": contestant.name,
                "meaning": contestant.meaning,
                "experience": facts["experience"],
                "minutes": facts["minutes"],
                "outcomes": evaluated(study, contestant.name),
            }
        )
    report = {
        "task": task,
        "condition": {it.name: it.meaning for it in SUITES[SUITE]}[HEAD_TURNED],
        "episodes": {HEAD_TURNED: episodes, NOMINAL: nominal_episodes},
        "steps": steps,
        "learning_rate": learning_rate,
        "streams": streams,
        "flow_steps": STEPS,
        "corrected": takeovers[True],
        "alone": takeovers[False],
        "policies": [summed(one, before) for one in found],
    }
    (rows,) = page_tables(report)
    return Measured(report, [rows.table(f"{task}, {report['condition']}", left=2)], lambda: draw_interventions(report))


def contestant_named(name: str) -> Contestant:
    """Raises ValueError for one that does not exist."""
    name = name.strip()
    for contestant in CONTESTANTS:
        if contestant.name == name:
            return contestant
    raise ValueError(f"contestant '{name}' is unknown; expected some of {', '.join(it.name for it in CONTESTANTS)}")


def collect(study: Study, *, is_attended: bool) -> dict[str, Any]:
    """The episodes that are learned from, played where they are not there yet, and what happened in them."""
    player = Episodes(SUITE, study.settings(BEFORE))
    collector = Collector(player, study.goal, HEAD_TURNED, POLICY, is_attended=is_attended)
    found: dict[str, Any] = {"episodes": study.corrected, "succeeded": 0, "takeovers": 0, "human_seconds": 0.0}
    try:
        with progress(study.console, "corrected" if is_attended else "alone", study.corrected) as advance:
            for seed in range(FIRST_CORRECTED, FIRST_CORRECTED + study.corrected):
                episode = collector.collect(seed, _recordings(study, is_attended=is_attended))
                human = episode.interventions.astype(int)
                begins = int((human[1:] > human[:-1]).sum())
                found["succeeded"] += episode.success
                found["takeovers"] += begins
                found["human_seconds"] = round(found["human_seconds"] + 0.05 * int(human.sum()), 2)
                advance(1, f"seed {seed}: {begins} take-overs, {'done' if episode.success else 'failed'}")
    finally:
        player.close()
    return found


def fine_tuned(study: Study, contestant: Contestant) -> dict[str, Any]:
    """Fine-tune, unless that was done; what the checkpoint says of it. Raises ValueError for another training."""
    path = study.policy(contestant.name)
    folder, encoder = path.parent, study.encoder
    facts = load_policy(path).facts if path.exists() else None
    if facts is not None:
        check_same_training(path, facts, study.training)
    if facts is None or facts["steps"] < study.training.steps:
        start = load_policy(study.base.policy, encoder.weights_hash)
        keep_coding(Coding(start.codec, start.features, start.state_predictor), folder)
        source = _source(study, contestant, folder)
        if not train(
            source,
            study.coder.choices,
            study.training,
            "",
            start.inputs,
            encoder.weights_hash,
            folder,
            path,
            _KEEP_MINUTES,
            study.console,
            start=start,
        ):
            raise typer.Exit(130)
    return dict(load_policy(path).facts)


def check_same_training(path: Path, facts: Mapping[str, Any], wanted: TrainingSettings) -> None:
    """Raises ValueError when a policy was trained otherwise than for so many steps."""
    asked = json.loads(wanted.model_dump_json())
    for name, value in facts["settings"].items():
        if name != "steps" and value != asked[name]:
            raise ValueError(f"{path} was trained with {name} {value}, asked for is {asked[name]}; give another --out")


def evaluated(study: Study, name: str) -> dict[str, list[bool]]:
    """By condition whether each seed succeeded; episodes that are done are not played again."""
    settings = study.settings(name)
    made_with = {"policy": load_policy(settings.policy).policy_hash, "steps": STEPS, "latency": settings.latency}
    ledger = Ledger(study.out / f"{name.replace(' ', '_')}.jsonl", made_with)
    jobs = [Job(seed, study.goal, condition, POLICY) for condition, seeds in study.seeds.items() for seed in seeds]
    outcomes = ledger.read()
    missing = [job for job in jobs if job not in outcomes]
    player = Episodes(SUITE, settings)
    try:
        with progress(study.console, name, len(missing)) as advance:
            for job in missing:
                outcomes[job], _ = player.run(job)
                ledger.append(job, outcomes[job])
                advance(1, f"seed {job.seed} {job.condition}: {outcomes[job].reason or 'done'}")
    finally:
        player.close()
    return {
        condition: [outcomes[job].succeeded for job in jobs if job.condition == condition] for condition in CONDITIONS
    }


def summed(found: Mapping[str, Any], before: Mapping[str, list[bool]]) -> dict[str, Any]:
    """Rates of a policy in each condition, and their differences to before on the same seeds."""
    outcomes = found["outcomes"]
    by_condition = {
        condition: {
            "successes": sum(own),
            **success_rate(sum(own), len(own)),
            "minus_before": None
            if found["name"] == BEFORE
            else compare_pairs(list(zip(own, before[condition], strict=True))),
        }
        for condition, own in outcomes.items()
    }
    return {name: value for name, value in found.items() if name != "outcomes"} | by_condition


def page_tables(report: Mapping[str, Any]) -> list[Rows]:
    """One row per policy and condition."""
    header = [
        "policy",
        "condition",
        "success",
        "Wilson 95 %",
        "points to before (95 %)",
        "McNemar exact p",
        "trained on",
    ]
    rows = [
        [
            one["name"],
            condition,
            f"{one[condition]['successes']} / {report['episodes'][condition]}",
            percent(one[condition]["wilson95"]),
            *paired_difference(one[condition]["minus_before"]),
            one["meaning"],
        ]
        for condition in CONDITIONS
        for one in report["policies"]
    ]
    return [Rows(header, rows)]


def draw_interventions(report: Mapping[str, Any]) -> Figure:
    """Success of every policy in both conditions."""
    figure, axes = panels(len(CONDITIONS), 9.0, 3.2)
    names = [one["name"] for one in report["policies"]]
    for panel, condition in zip(axes, CONDITIONS, strict=True):
        rates = [100 * one[condition]["success_rate"] for one in report["policies"]]
        ends = [[100 * one[condition]["wilson95"][side] for one in report["policies"]] for side in (0, 1)]
        spans = [[abs(rate - end) for rate, end in zip(rates, side, strict=True)] for side in ends]
        panel.bar(names, rates, yerr=spans, capsize=4, color=[f"C{index}" for index in range(len(names))])
        panel.set(title=report["condition"] if condition == HEAD_TURNED else condition, ylim=(0, 105))
        panel.tick_params(axis="x", labelsize=8)
    axes[0].set(ylabel=f"{report['task']}: success [%]")
    return figure


def _source(study: Study, contestant: Contestant, folder: Path) -> TrainingSource:
    """Half the streams through what was recorded in the condition, half through the nominal episodes of the expert."""
    own = study.training.streams // 2
    cache = study.out / "features"
    places = [_recordings(study, is_attended=contestant.is_attended)]
    lived = load_experience(places, cache, study.encoder, contestant.settings, study.console)
    nominal = record_and_encode(
        study.coder.choices, study.rehearsed, 0, study.out / "nominal", study.encoder, NOTHING, 1, study.console
    )
    held_out = [episode for episode in nominal if episode.seed >= study.rehearsed - 2]
    others = [episode for episode in nominal if episode.seed < study.rehearsed - 2]
    seed = study.training.seed
    source = source_of(others, held_out, folder, study.coder, study.training.streams - own, seed)
    return beside(source, lived, study.coder, own, seed)


def _recordings(study: Study, *, is_attended: bool) -> Path:
    return study.out / ("corrected" if is_attended else "alone")
