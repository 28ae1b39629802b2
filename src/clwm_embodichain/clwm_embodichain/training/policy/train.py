"""Train the policy: `python -m clwm_embodichain.training.policy.train --minutes 70`; started again it continues."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import typer

from clwm_common.files.policy_document import CheckpointError, PolicyInputs
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.cluster.placement import Placement, on_ray
from clwm_embodichain.episodes.choices import GoalChoice, kinds_of, parse_choices
from clwm_embodichain.episodes.failures import kept_failures
from clwm_embodichain.episodes.features import PolicyDataError
from clwm_embodichain.episodes.storage import EpisodeError
from clwm_embodichain.expansion.parts import Expansion
from clwm_embodichain.stream.ring import RingError
from clwm_embodichain.stream.sources import (
    FAILURES,
    OnlineSettings,
    SampleCoder,
    TrainingSource,
    held_out_episodes,
    online_source,
    recorded_source,
)
from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.encoder.data import EncoderDataError
from clwm_embodichain.training.loop import resume, run_training
from clwm_embodichain.training.policy.experience import (
    ExperienceSettings,
    beside,
    keep_coding,
    load_experience,
    require_goals,
)
from clwm_embodichain.training.policy.references import reference_shards, rendered_references
from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_embodichain.training.policy.validation import validate, validate_misled
from clwm_embodichain.training.report import write_report
from clwm_embodichain.training.states import TrainingStates
from clwm_embodichain.training.trained_inputs import trained_inputs
from clwm_perception.encoder import Encoder
from clwm_policy.model.checkpoint import Policy, load_policy, save_policy
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.language import SentenceEncoder
from clwm_policy.model.sizes import PRESETS, ClwmConfig
from clwm_sim.scenes.task_table import TABLE

if TYPE_CHECKING:
    from clwm_embodichain.cluster.learner_group import LearnerGroup

GOALS = "table/lift_tray,table/place_block"
PANELS = (
    (("action", "video"), "loss", "log"),
    (("eef_mm", "eef_p90_mm", "misled_p90_mm"), "held-out chunk error [mm]", "log"),
    (("referent_mm", "referent_misled_mm", "referent_mean_mm"), "what is named, unseen states [mm]", "log"),
    (("surrogate_error", "copy_error"), "relative error of the next feature", "linear"),
)
# In 60 steps of six streams the error on what the shipped policy knew goes from 4.3 to 5.1 mm, at 1e-3 in 98 to 6.5 mm.
FROM_CHECKPOINT_RATE = 5e-5
APART = 20  # of so many files of references one is not learned from
SETTINGS, STREAM, EXPERIENCE = TrainingSettings(), OnlineSettings(), ExperienceSettings()


def main(
    goals: Annotated[
        str, typer.Option(help="all, scenes, or goals of scenes such as blocks/place, with commas")
    ] = GOALS,
    expansion: Annotated[str, typer.Option(help="of episodes that are simulated: all, none, or parts")] = "none",
    success: Annotated[
        Path | None, typer.Option(help="JSON of success rates by goal: what fails is played more often (online)")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of recorded episodes")] = Path("out/data"),
    features: Annotated[Path, typer.Option(help="cache of encoded pictures")] = Path("out/features"),
    online: Annotated[
        bool, typer.Option("--online/--recorded", help="simulate while training, in place of recorded episodes")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="that simulate, on a core each (online)")] = STREAM.workers,
    reuse: Annotated[int, typer.Option(min=1, help="walks through a trajectory at most (online)")] = STREAM.reuse,
    capacity: Annotated[int, typer.Option(min=1, help="trajectories at hand at once (online)")] = STREAM.capacity,
    looks: Annotated[
        int, typer.Option(min=1, help="in which each episode is seen, a trajectory each (online, visual expansion)")
    ] = STREAM.looks,
    from_checkpoint: Annotated[
        Path | None, typer.Option(help="policy to go on from: its .safetensors, or the model's folder")
    ] = None,
    experience: Annotated[
        list[Path] | None,
        typer.Option("--from", help="recordings of clwm record, or a folder of them, to learn from beside; repeat it"),
    ] = None,
    intervention_weight: Annotated[
        float, typer.Option(min=0.0, help="what a row of the human counts, one of the policy counting 1 (--from)")
    ] = EXPERIENCE.intervention_weight,
    before_takeover: Annotated[
        float, typer.Option(min=0.0, help="s before a take-over that are not imitated (--from)")
    ] = EXPERIENCE.before_takeover,
    experience_streams: Annotated[
        int | None, typer.Option(min=1, help="of the --streams that walk through --from; default: half of them")
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(help="states rendered for the encoder, in which sentences are also asked for what they mean"),
    ] = None,
    encoder: Annotated[Path, typer.Option(help="the frozen encoder's folder")] = Path("models/nano/encoder"),
    out: Annotated[Path, typer.Option(help="state and curves of the training")] = Path("out/policy"),
    export: Annotated[
        Path | None, typer.Option(help="where the policy is written; default: policy.safetensors in --out")
    ] = None,
    robot: Annotated[str, typer.Option(help="robot that recorded the episodes")] = "dual_fr3_mujoco",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(PRESETS)}")] = "nano",
    minutes: Annotated[float, typer.Option(min=0.01, help="training time of all runs together")] = SETTINGS.minutes,
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps at most")] = SETTINGS.steps,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    streams: Annotated[int, typer.Option(min=1, help="episodes walked in parallel")] = SETTINGS.streams,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0.0, help=f"default: {SETTINGS.learning_rate:g}; from a checkpoint {FROM_CHECKPOINT_RATE:g}"),
    ] = None,
    export_minutes: Annotated[float, typer.Option(min=0.0, help="between two exports and validations")] = 8.0,
    seed: int = SETTINGS.seed,
    cluster: Annotated[
        Literal["ray"] | None, typer.Option(help="simulate on the machines of a cluster (online; needs clwm[cluster])")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="host:port of a running cluster; default: one on this machine alone")
    ] = None,
    learners: Annotated[
        int, typer.Option(min=0, help="on the cluster, each with its share of the streams; 0: one, in this process")
    ] = 0,
) -> None:
    """Train one policy for all tasks, resuming from `out` when a training was begun there.

    With --online nothing need be recorded: workers simulate and stream fresh trajectories into the training.
    """
    console = PlainConsole()
    export = export or out / "policy.safetensors"
    torch.set_num_threads(threads)
    try:
        if learning_rate is None:
            learning_rate = FROM_CHECKPOINT_RATE if from_checkpoint else SETTINGS.learning_rate
        settings = TrainingSettings(
            minutes=minutes, steps=steps, streams=streams, learning_rate=learning_rate, seed=seed
        )
        loaded = Encoder.load(encoder)
        jacobians = DualArmKinematics(RobotDescription.load(robot)).jacobians
        start, config = None, _config(preset)
        if from_checkpoint is not None:
            start = load_policy(checkpoint_file(from_checkpoint), loaded.weights_hash)
            config = start.model.config
        coder = SampleCoder(SentenceEncoder(config.text_tokens).embed, jacobians, parse_choices(goals))
        parts = Expansion.parse(expansion)
        if start is not None:
            keep_coding(Coding(start.codec, start.features, start.state_predictor), out)
        lived, others = None, streams
        if experience:
            weighing = ExperienceSettings(intervention_weight=intervention_weight, before_takeover=before_takeover)
            others = streams - (experience_streams or streams // 2)
            if not 0 < others < streams:
                raise ValueError(
                    f"{streams} streams, {streams - others} of them through --from; expected at least one for each"
                )
            lived = load_experience(experience, features / loaded.weights_hash, loaded, weighing, console)
            require_goals(lived, coder.choices)
        if looks > 1 and not (online and "visual" in parts and all(it.scene != TABLE.name for it in coder.choices)):
            raise ValueError(
                f"--looks {looks} are of episodes that are simulated meanwhile with visual expansion; add --online and "
                "--expansion visual, and leave the scene table out of --goals"
            )
        if cluster and not online:
            raise ValueError("--cluster is for trajectories that are simulated meanwhile; add --online")
        if learners and streams % learners:
            raise ValueError(f"--streams {streams} cannot be shared equally by --learners {learners}")
        if not cluster and (address or learners):
            raise ValueError("--address and --learners are of a cluster; add --cluster ray")
        if references and learners:
            raise ValueError("--references are not sent to other machines; leave out --learners, or --references")
        shards = reference_shards(references, coder.choices) if references else []
        with ExitStack() as stack:
            placement = Placement()
            if cluster:
                placement = stack.enter_context(on_ray(address, workers, learners, threads))
            if online:
                stream = OnlineSettings(
                    workers=workers,
                    reuse=reuse,
                    capacity=capacity,
                    fitted_on=min(capacity, STREAM.fitted_on),
                    looks=looks,
                )
                held_out = held_out_episodes(out / "held_out", loaded, coder.choices, parts, workers, console)
                simulated = online_source(
                    stream, encoder, held_out, out, coder, others, seed, console, parts, success, placement.workers
                )
                source = stack.enter_context(simulated)
            else:
                cache = features / loaded.weights_hash
                source = recorded_source(data, cache, out, loaded, coder, others, seed)
            if lived is not None:
                source = beside(source, lived, coder, streams - others, seed)
            make_trainer = placement.trainer
            if shards:
                apart = shards[::APART]
                rendered, unseen = (
                    rendered_references(
                        part,
                        coder.choices,
                        features / loaded.weights_hash,
                        loaded,
                        source.coding,
                        coder.embed,
                        console,
                    )
                    for part in ([path for path in shards if path not in apart], apart)
                )
                make_trainer = partial(make_trainer, rendered=rendered, unseen=unseen)
                known = {"rendered_references": len(rendered)}
                source = replace(source, facts=lambda facts=source.facts: facts() | known)
            is_done = train(
                source,
                coder.choices,
                settings,
                preset,
                start.inputs if start else trained_inputs(coder.choices, loaded.checkpoint, coder.embed),
                loaded.weights_hash,
                out,
                export,
                export_minutes,
                console,
                make_trainer,
                start,
            )
    except (PolicyDataError, EncoderDataError, EpisodeError, RingError, RobotError, ValueError, RuntimeError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    console.print(f"try it: clwm eval --sai fixed:0.5 --policy {export}", highlight=False, soft_wrap=True)
    if not is_done:
        raise typer.Exit(130)


def train(
    source: TrainingSource,
    choices: Sequence[GoalChoice],
    settings: TrainingSettings,
    preset: str,
    inputs: PolicyInputs,
    encoder_hash: str,
    out: Path,
    export: Path,
    export_minutes: float,
    console: PlainConsole,
    make_trainer: Callable[..., PolicyTrainer | LearnerGroup] = PolicyTrainer,
    start: Policy | None = None,
) -> bool:
    """Train until the budget is used; every `export_minutes`, and at the end, save, validate and export.

    inputs: what the policy says of them. make_trainer: from model, streams, coding, settings and `goals`. start: the
    policy to go on from, in place of new weights of `preset`. False when somebody stopped it before.
    """
    coding = source.coding
    console.print(source.summary)
    torch.manual_seed(settings.seed)
    kinds = kinds_of(choices)
    model = start.model.train() if start else Clwm(replace(_config(preset), feature_channels=coding.features.channels))
    trainer = make_trainer(model, source.streams, coding, settings, goals=kinds)
    states, curves = TrainingStates(out, "trainer"), Curves(out / "curves.jsonl")
    resume(states, trainer, console)

    began_at, began = trainer.steps_done, time.monotonic()

    def known() -> dict[str, float]:
        numbers = {name: value for name, value in source.facts().items() if isinstance(value, (int, float))}
        # E, the number of unique pairs a step (paper); a pair is an observation with its plan.
        numbers["unique_per_step"] = numbers["observations"] / max(1, trainer.steps_done)
        samples = (trainer.steps_done - began_at) * settings.streams * settings.segment
        return numbers | {"samples_per_s": samples / (time.monotonic() - began)}

    def keep() -> None:
        path = states.save(trainer.steps_done, trainer.state())
        source.keep()
        result = validate(trainer.ema, coding, source.validation, goals=kinds)
        result |= validate_misled(trainer.ema, coding, source.validation, goals=kinds)
        if isinstance(trainer, PolicyTrainer):
            result |= trainer.reference_errors()
        if all(result["eef_mm"] < record["eef_mm"] for record in curves.records() if "eef_mm" in record):
            states.mark_best(path)
        curves.append({"minutes": trainer.seconds / 60, "step": trainer.steps_done} | result)
        by_goal = (tuple(f"action/{kind}" for kind in kinds), "action loss by goal", "log")
        figure = draw_curves(out / "curves.png", [*PANELS, by_goal], {"": out / "curves.jsonl"})
        facts = source.facts() | {
            **({"from_checkpoint": start.policy_hash} if start else {}),
            "tasks": list(kinds),
            "steps": trainer.steps_done,
            "skipped_steps": trainer.skipped,
            "minutes": round(trainer.seconds / 60, 1),
            "threads": torch.get_num_threads(),
            "validation": result,
            "settings": settings.model_dump(),
        }
        policy = Policy(
            trainer.ema,
            coding.codec,
            coding.features,
            coding.state_predictor,
            encoder_hash,
            facts,
            inputs=inputs,
        )
        save_policy(export, policy)
        tables = {"Experience": source.facts() | known(), "Held-out errors": result, "Settings": settings.model_dump()}
        failed = kept_failures(out / FAILURES)
        write_report(out / "report.html", f"Training of {export.name}", source.summary, figure, tables, failed)
        console.print(f"step {trainer.steps_done}: " + ", ".join(f"{k} {v:.3g}" for k, v in result.items()))

    return run_training(trainer, curves, keep, export_minutes, console, known)


def checkpoint_file(place: Path) -> Path:
    """The policy of a model's folder, or the file itself. Raises CheckpointError when it is not there."""
    path = place / "policy.safetensors" if place.is_dir() else place
    if not path.is_file():
        raise CheckpointError(f"--from-checkpoint {place}: {path} does not exist; name a policy's .safetensors")
    return path


def _config(preset: str) -> ClwmConfig:
    if preset not in PRESETS:
        raise ValueError(f"preset '{preset}' is unknown; expected one of {', '.join(PRESETS)}")
    return PRESETS[preset]


if __name__ == "__main__":
    typer.run(main)
