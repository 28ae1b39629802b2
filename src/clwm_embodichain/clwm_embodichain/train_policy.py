"""Train the policy: `python -m clwm_embodichain.train_policy --minutes 70`; started again it continues."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from clwm_common.kinematics import DualArmKinematics
from clwm_common.robot import RobotDescription, RobotError
from clwm_embodichain.episodes import EpisodeError, episode_files
from clwm_embodichain.policy_curves import Curves
from clwm_embodichain.policy_features import FeatureEpisode, PolicyDataError, encode_features, load_episodes
from clwm_embodichain.policy_samples import Coding, build_samples, fit_coding
from clwm_embodichain.policy_training import PolicyTrainer, TrainingSettings, load_state, save_state
from clwm_embodichain.policy_validation import validate
from clwm_perception.encoder import Encoder
from clwm_policy.checkpoint import Policy, save_policy
from clwm_policy.config import PRESETS, ClwmConfig
from clwm_policy.language import SentenceEncoder
from clwm_policy.model import Clwm

HELD_OUT = 0.06  # share of each task's episodes that only validation sees
_RECORD_EVERY = 20  # steps
TASKS = ("lift_tray", "place_block")


def gather(
    data: Path, cache: Path, encoder: Encoder, tasks: tuple[str, ...]
) -> tuple[list[FeatureEpisode], list[FeatureEpisode]]:
    """Encode what is not encoded yet; returns the training and the held-out episodes of all tasks."""
    training, held_out = [], []
    for task in tasks:
        files = episode_files(data, task)
        encode_features(files, cache, encoder)
        episodes = list(load_episodes(files, cache))
        kept = max(1, round(HELD_OUT * len(episodes)))
        training += episodes[:-kept]
        held_out += episodes[-kept:]
    return training, held_out


def main(
    data: Annotated[Path, typer.Option(help="folder of recorded episodes")] = Path("out/data"),
    features: Annotated[Path, typer.Option(help="cache of encoded pictures")] = Path("out/features"),
    encoder: Annotated[Path, typer.Option(help="the frozen encoder's folder")] = Path("models/nano/encoder"),
    out: Annotated[Path, typer.Option(help="state and curves of the training")] = Path("out/policy"),
    export: Annotated[Path, typer.Option(help="where the policy is written")] = Path("models/nano/policy.safetensors"),
    robot: Annotated[str, typer.Option(help="robot that recorded the episodes")] = "dual_fr3_mujoco",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(PRESETS)}")] = "nano",
    minutes: Annotated[float, typer.Option(min=0.01, help="training time of all runs together")] = 70.0,
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps at most")] = 1_000_000,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    streams: Annotated[int, typer.Option(min=1, help="episodes walked in parallel")] = 8,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 1.5e-3,
    export_minutes: Annotated[float, typer.Option(min=0.0, help="between two exports and validations")] = 8.0,
    seed: int = 0,
) -> None:
    """Train one policy for all tasks, resuming from `out` when a training was begun there."""
    console = Console()
    torch.set_num_threads(threads)
    try:
        loaded = Encoder.load(encoder)
        training, held_out = gather(data, features / loaded.weights_hash, loaded, TASKS)
        # What the weights have learned to read must not shift when a training is resumed with more episodes.
        coding_file = out / "coding.json"
        coding = Coding.load(coding_file) if coding_file.exists() else fit_coding(training)
        coding.save(coding_file)
        embed = SentenceEncoder().embed
        jacobians = DualArmKinematics(RobotDescription.load(robot)).jacobians
        samples, validation = (build_samples(part, coding, embed, jacobians) for part in (training, held_out))
        settings = TrainingSettings(
            minutes=minutes, steps=steps, streams=streams, learning_rate=learning_rate, seed=seed
        )
        config = _config(preset, coding.features.channels)
    except (PolicyDataError, EpisodeError, RobotError, ValueError, RuntimeError) as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    console.print(f"{len(training)} episodes, {len(samples)} observations; {len(held_out)} episodes held out")
    torch.manual_seed(seed)
    trainer = PolicyTrainer(Clwm(config), samples, coding, settings)
    state, curves = out / "trainer.pt", Curves(out / "curves.jsonl")
    if state.exists():
        load_state(state, trainer)
        console.print(f"resumed at step {trainer.steps_done}, {trainer.seconds / 60:.1f} minutes")

    def keep() -> dict[str, float]:
        save_state(state, trainer)
        result = validate(trainer.ema, coding, validation)
        curves.append({"minutes": trainer.seconds / 60, "step": trainer.steps_done} | result)
        curves.draw(out / "curves.png")
        facts = {
            "tasks": list(TASKS),
            "episodes": len(training),
            "steps": trainer.steps_done,
            "minutes": round(trainer.seconds / 60, 1),
            "threads": threads,
            "validation": result,
            "settings": settings.to_json(),
        }
        policy = Policy(trainer.ema, coding.codec, coding.features, coding.state_predictor, loaded.weights_hash, facts)
        save_policy(export, policy)
        console.print(f"step {trainer.steps_done}: " + ", ".join(f"{k} {v:.3g}" for k, v in result.items()))
        return result

    run_training(trainer, curves, keep, export_minutes, console)


def run_training(trainer: PolicyTrainer, curves: Curves, keep, export_minutes: float, console: Console) -> None:
    """Step until the budget is used, with a progress bar; call `keep` every `export_minutes` and at the end."""
    kept_at = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.1f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=1.0)
        while trainer.progress < 1.0:
            losses = trainer.step()
            bar.update(
                task,
                completed=trainer.progress,
                description=f"action {losses['action']:.4f} video {losses['video']:.3f}",
            )
            if trainer.steps_done % _RECORD_EVERY == 0:
                curves.append({"minutes": trainer.seconds / 60, "step": trainer.steps_done} | losses)
            if time.monotonic() - kept_at > 60.0 * export_minutes:
                keep()
                kept_at = time.monotonic()
    keep()


def _config(preset: str, channels: int) -> ClwmConfig:
    if preset not in PRESETS:
        raise ValueError(f"preset '{preset}' is unknown; expected one of {', '.join(PRESETS)}")
    return ClwmConfig.from_json(PRESETS[preset].to_json() | {"feature_channels": channels})


if __name__ == "__main__":
    typer.run(main)
