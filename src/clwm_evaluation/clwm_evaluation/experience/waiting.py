"""`clwm bench waiting`: how long a training waits for the experience that is made meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Annotated, Any

import torch
import typer

from clwm_common.robot.description import RobotDescription
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.episodes.choices import parse_choices
from clwm_embodichain.expansion.parts import Expansion
from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.sources import SampleCoder
from clwm_embodichain.stream.worker import Simulation
from clwm_embodichain.training.policy.samples import fit_coding
from clwm_embodichain.training.policy.streams import OnlineStreams
from clwm_embodichain.training.policy.trainer import PolicyTrainer, TrainingSettings
from clwm_evaluation.experience.stream import feature_shape
from clwm_evaluation.report import Measured, ModelName, Rows, Workers, measurement
from clwm_evaluation.success_rates.evaluation import EvaluationSettings
from clwm_perception.encoder import Encoder, EncoderError
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.language import SentenceEncoder
from clwm_policy.model.sizes import PRESETS
from clwm_sim.world import ROBOT

STOCK = 16  # trajectories at hand, and those that are used up before anything is counted


@measurement(EncoderError, RuntimeError, ValueError, draws=False)
def waiting(
    console: PlainConsole,
    goals: Annotated[str, typer.Option(help="all, scenes, or goals of scenes such as blocks/place")] = "all",
    expansion: Annotated[str, typer.Option(help="all, none, or parts")] = "all",
    reuse: Annotated[int, typer.Option(min=1, help="walks through a trajectory at most")] = 10,
    seconds: Annotated[float, typer.Option(min=1.0, help="of training, after the first trajectories")] = 60.0,
    workers: Workers = 2,
    model: ModelName = "nano",
    first_seed: int = 0,
) -> Measured:
    """A training of the nano policy on what so many workers play: how long it waits for them, and they for it. Beside
    it, one of a single worker that walks through each trajectory once, and must wait.
    """
    torch.set_num_threads(1)
    encoder = EvaluationSettings.of_model(model, task="lift_tray").encoder
    shape, parts = feature_shape(Encoder.load(encoder)), Expansion.parse(expansion)
    simulation = Simulation(parse_choices(goals), encoder, workers, shape, expansion=parts)
    alone = replace(simulation, workers=1)
    report = {"goals": goals, "expansion": str(parts), "load_average": os.getloadavg()[0]}
    report |= train_on(ProcessWorkers(simulation, first_seed), reuse, seconds)
    report["control"] = train_on(ProcessWorkers(alone, first_seed), 1, seconds)
    return Measured(report, [rows.table(f"{workers} workers") for rows in page_tables(report)])


def train_on(workers: ProcessWorkers, reuse: int, seconds: float) -> dict[str, Any]:
    """So many seconds of a training on what the workers play; shares are of its time, and of all workers'."""
    jacobians = DualArmKinematics(RobotDescription.load(ROBOT)).jacobians
    coder = SampleCoder(SentenceEncoder(PRESETS["nano"].text_tokens).embed, jacobians, workers.choices)
    stream = OnlineSettings(workers=workers.count, reuse=reuse, capacity=STOCK, fitted_on=STOCK)
    with OnlineEngine(workers, stream) as engine:
        coding = fit_coding(engine.collect(STOCK))
        engine.begin(lambda episode: coder([episode], coding))
        settings = TrainingSettings()
        network = Clwm(replace(PRESETS["nano"], feature_channels=coding.features.channels))
        trainer = PolicyTrainer(network, OnlineStreams(engine.draw, settings.streams, 0), coding, settings)
        while engine.counts().walks < STOCK * reuse:
            trainer.step()
        before, steps, began, used = engine.counts(), trainer.steps_done, time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            trainer.step()
        counts, steps = engine.counts(), trainer.steps_done - steps
        took, used = time.monotonic() - began, time.process_time() - used
    pairs = counts.observations - before.observations
    return {
        "workers": workers.count,
        "reuse": reuse,
        "seconds": took,
        "learner_waited": (counts.learner_waited - before.learner_waited) / took,
        "workers_waited": (counts.workers_waited - before.workers_waited) / (took * workers.count),
        "steps": steps,
        "episodes": counts.trajectories - before.trajectories,
        "pairs": pairs,
        "unique_per_step": pairs / max(1, steps),
        "processor_seconds_per_step": used / max(1, steps),
    }


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """The training's row, and that of the one that must wait."""
    header = ["workers", "goals", "expansion", "walks through each", "learner waits", "workers wait", "steps"]
    header += ["episodes", "pairs", "pairs a step", "processor s a step"]
    return [Rows(header, [_row(report, found) for found in (report, report["control"])])]


def _row(report: dict[str, Any], found: dict[str, Any]) -> list[str]:
    shares = [f"{100 * found[name]:.1f} %" for name in ("learner_waited", "workers_waited")]
    counts = [str(found[name]) for name in ("steps", "episodes", "pairs")]
    per_step = [f"{found[name]:.2f}" for name in ("unique_per_step", "processor_seconds_per_step")]
    course = [str(found["workers"]), report["goals"], report["expansion"], str(found["reuse"])]
    return [*course, *shares, *counts, *per_step]
