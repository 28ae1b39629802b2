"""Train a policy to remember: `python -m clwm_embodichain.training.memory.train --kind ttt`; it can be resumed."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import BarColumn, Progress, TimeElapsedColumn

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole, description_column
from clwm_embodichain.episodes.choices import choices
from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.finite_steps import TrainingDiverged
from clwm_embodichain.training.loop import resume, run_training
from clwm_embodichain.training.memory.choice import chosen_arms, chunks_after
from clwm_embodichain.training.memory.coarse_encoder import CoarseEncoder, ImageEncoder
from clwm_embodichain.training.memory.data import CHOOSING, OBSERVATIONS, Recordings, record_sides
from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_embodichain.training.memory.samples import SideStreams, side_samples
from clwm_embodichain.training.memory.trainer import MemoryTrainer, MemoryTrainingSettings
from clwm_embodichain.training.policy.samples import Coding, Samples
from clwm_embodichain.training.states import StateError, TrainingStates
from clwm_embodichain.training.trained_inputs import trained_inputs
from clwm_perception.encoder import Encoder
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.checkpoint import CheckpointError, Policy, load_policy, save_policy
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.feature_scale import FeatureScale
from clwm_policy.model.language import SentenceEncoder
from clwm_policy.model.sizes import ClwmConfig
from clwm_sim.shipped_tasks import RememberSide

# A quarter of the nano model's cells and one token of executed rows: 15 tokens an observation, so that streams of
# sixty observations can be trained on one CPU core.
CONFIG = ClwmConfig(width=64, layers=2, heads=4, ffn_width=256, memory_rank=32, grid=2, executed_group=12)
PLAN = Plan(video_steps=2, action_steps=4)
HELD_OUT = 0.1
VALIDATION_DELAYS = (2, 10, 40)
PANELS = (
    (("action",), "action loss", "log"),
    (("recalled",), "side read out after the wait", "linear"),
    (("longest",), "longest delay trained [chunks]", "linear"),
    (("right_40",), "right choices after 40 chunks, held out", "linear"),
)
SETTINGS = MemoryTrainingSettings()


class Kind(str, Enum):
    """What remembers."""

    TTT = "ttt"
    KV = "kv"


MODELS: dict[Kind, type[Clwm]] = {Kind.TTT: Clwm, Kind.KV: KvClwm}


def fit_scale(recordings: Recordings) -> FeatureScale:
    """Feature statistics of the recordings, residuals from one observation to the next."""
    features = recordings.features.astype(np.float32)
    flat = features.reshape(-1, features.shape[-1])
    std = flat.std(0) + 1e-6
    residual = (np.diff(features, axis=1) / std).reshape(-1, features.shape[-1])
    return FeatureScale(flat.mean(0), std, residual.std(0) + 1e-3)


def validate(model: Clwm, samples: Samples, coding: Coding, delays: tuple[int, ...]) -> dict[str, float]:
    """Share of held-out streams whose choice is right, by delay."""
    model.eval()
    codec, found = coding.codec, {}
    count = len(samples) // OBSERVATIONS // 2 * 2
    for delay in delays:
        streams, generator = SideStreams(samples, delay), torch.Generator().manual_seed(delay)
        steps = [samples.take(index) for index in streams.draw(count, delay)[: 1 - CHOOSING]]
        coded = chunks_after(model, steps, PLAN, generator).numpy()
        anchors = codec.absolute.decode(steps[-1].proprioception[:, :30].double().numpy())
        rows = torch.from_numpy(codec.decode_rows(coded, anchors[:, None]))
        found[f"right_{delay}"] = float((chosen_arms(rows) == steps[-1].task).float().mean())
    model.train()
    return found


def main(
    kind: Annotated[Kind, typer.Option(help="ttt: the memory; kv: the baseline with the whole history")] = Kind.TTT,
    episodes: Annotated[int, typer.Option(min=20, help="recorded when they are not there yet")] = 300,
    out: Annotated[Path, typer.Option(help="recordings, state and curves")] = Path("out/memory"),
    export: Annotated[Path, typer.Option(help="folder that the policy is written to")] = Path("models/memory"),
    encoder: Annotated[Path, typer.Option(help="the frozen encoder's folder")] = Path("models/nano/encoder"),
    codec_of: Annotated[Path, typer.Option(help="policy whose action coding is used")] = Path(
        "models/nano/policy.safetensors"
    ),
    minutes: Annotated[float, typer.Option(min=0.01, help="processor time of all runs together")] = SETTINGS.minutes,
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps at most")] = SETTINGS.steps,
    streams: Annotated[int, typer.Option(min=2, help="streams in a batch, an even number")] = SETTINGS.streams,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = SETTINGS.learning_rate,
    export_minutes: Annotated[float, typer.Option(min=0.0, help="between two exports and validations")] = 2.0,
    seed: int = SETTINGS.seed,
) -> None:
    """Train one policy on remember_side, resuming from `out` when a training of its kind was begun there."""
    console = PlainConsole()
    torch.set_num_threads(1)
    try:
        settings = MemoryTrainingSettings(
            minutes=minutes, steps=steps, streams=streams, learning_rate=learning_rate, seed=seed
        )
        shipped = load_policy(codec_of)
        whole = Encoder.load(encoder)
        loaded = CoarseEncoder(whole)
        recordings = gather(out / "recordings.npz", episodes, loaded, console)
        held_out = max(10, round(HELD_OUT * len(recordings)))
        training, unseen = recordings.take(slice(len(recordings) - held_out)), recordings.take(slice(-held_out, None))
        coding = Coding(shipped.codec, fit_scale(training), shipped.state_predictor)
        embed = SentenceEncoder().embed
        jacobians = DualArmKinematics(RobotDescription.load("dual_fr3_mujoco")).jacobians
        samples, validation = (side_samples(part, coding, embed, jacobians) for part in (training, unseen))
    except (CheckpointError, ValueError, RuntimeError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    inputs = trained_inputs(choices("table", RememberSide.name), whole.checkpoint, embed)
    torch.manual_seed(seed)
    trainer = MemoryTrainer(MODELS[kind](CONFIG), samples, coding, settings)
    states, curves = TrainingStates(out, kind.value), Curves(out / f"{kind.value}.jsonl")

    def keep() -> None:
        path = states.save(trainer.steps_done, trainer.state())
        found = validate(trainer.model, validation, coding, VALIDATION_DELAYS)
        before = [sum(record[name] for name in found) for record in curves.records() if found.keys() <= record.keys()]
        if sum(found.values()) > max(before, default=-1.0):
            states.mark_best(path)
        curves.append({"minutes": trainer.seconds / 60, "step": trainer.steps_done} | found)
        facts = {
            "task": "remember_side",
            "kind": kind.value,
            "episodes": len(training),
            "steps": trainer.steps_done,
            "processor_minutes": round(trainer.seconds / 60, 1),
            "longest_delay": int(trainer.longest),
            "validation": found,
            "settings": settings.model_dump(),
        }
        policy = Policy(
            trainer.model,
            coding.codec,
            coding.features,
            coding.state_predictor,
            loaded.weights_hash,
            facts,
            inputs=inputs,
        )
        save_policy(export / f"{kind.value}.safetensors", policy)
        draw_curves(export / "training.png", PANELS, {each.value: out / f"{each.value}.jsonl" for each in Kind})
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        console.print(f"step {trainer.steps_done}, longest delay {int(trainer.longest)}: {numbers}")

    try:
        resume(states, trainer, console)
        known = lambda: {"longest": float(trainer.longest)}  # noqa: E731
        is_done = run_training(trainer, curves, keep, export_minutes, console, known)
    except (CheckpointError, StateError, TrainingDiverged) as error:
        console.error(error)
        raise typer.Exit(2) from None
    if not is_done:
        raise typer.Exit(130)


def gather(path: Path, episodes: int, encoder: ImageEncoder, console: PlainConsole) -> Recordings:
    """Record what is missing, with a progress bar, or plain lines where there is no terminal."""
    with Progress(description_column(), BarColumn(), TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("recording remember_side", total=episodes)

        def show(have: int) -> None:
            progress.update(bar, completed=have)
            if not console.is_terminal and have % 50 == 0:
                console.print(f"{have} of {episodes} episodes recorded")

        return record_sides(path, episodes, 0, encoder, show)


if __name__ == "__main__":
    sys.exit(typer.run(main))
