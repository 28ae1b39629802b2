"""`clwm bench stream`: how much fresh experience two cores make, what that costs, and what is lost with workers."""

from __future__ import annotations

import cProfile
import os
import pstats
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import GoalChoice, choices, parse_choices
from clwm_embodichain.expansion.parts import NOTHING, Expansion
from clwm_embodichain.stream.engine import OnlineEngine, OnlineSettings
from clwm_embodichain.stream.processes import ProcessWorkers
from clwm_embodichain.stream.shared_memory import FOLDER
from clwm_embodichain.stream.worker import Simulation, Simulator
from clwm_embodichain.training.policy.train import GOALS
from clwm_evaluation.report import Measured, ModelName, Rows, Workers, measurement
from clwm_evaluation.success_rates.evaluation import EvaluationSettings
from clwm_perception.encoder import Encoder, EncoderError
from clwm_sim.registry import scenes

FIRST_TASKS = "table"
HUNG = 40.0  # s of silence that is too long in the drill; a worker needs some to come up
# Where an episode's time goes: functions by the part they are.
PARTS = {
    "pictures": (("stage.py",), "render"),
    "encoding": (("encoder.py",), "__call__"),
    "plans": (("attempts.py", "task_expert.py"), "plan"),
    "physics": (("stage.py",), "advance"),
    "expert": (("goal_expert.py",), "next_row"),
    "setting up": (("attempts.py",), "prepare"),
}


@measurement(EncoderError, RuntimeError, ValueError, draws=False)
def stream(
    console: PlainConsole,
    seconds: Annotated[float, typer.Option(min=1.0, help="of each scene")] = 60.0,
    killed: Annotated[int, typer.Option(min=0, help="workers to kill one after the other")] = 20,
    hung: Annotated[int, typer.Option(min=0, help="workers to stop after those")] = 5,
    expansion: Annotated[str, typer.Option(help="all, none, or parts; the first tasks have none")] = "all",
    workers: Workers = 2,
    model: ModelName = "nano",
    first_seed: int = 0,
) -> Measured:
    """Episodes and unique pairs a minute of each scene beside the first tasks; then workers are lost one by one."""
    encoder = EvaluationSettings.of_model(model, task="lift_tray").encoder
    shape = feature_shape(Encoder.load(encoder))
    parts = Expansion.parse(expansion)
    played = {FIRST_TASKS: (parse_choices(GOALS), NOTHING)} | {name: (choices(name), parts) for name in scenes()}

    def simulation(chosen: Sequence[GoalChoice], on: Expansion) -> Simulation:
        return Simulation(tuple(chosen), encoder, workers, shape, expansion=on)

    found = []
    with progress(console, "scenes", len(played)) as advance:
        for name, (chosen, on) in played.items():
            made = ProcessWorkers(simulation(chosen, on), first_seed)
            found.append({"scene": name, "expansion": str(on)} | throughput(made, seconds))
            found[-1]["one_episode"] = profile(simulation(chosen, on), first_seed)
            advance(1, f"{name} {found[-1]['pairs_per_minute']:.0f} pairs a minute")
    losses = drill(ProcessWorkers(simulation(choices(), parts), first_seed), killed, hung, console)
    report = {
        "workers": workers,
        "seconds": seconds,
        "load_average": os.getloadavg()[0],
        "scenes": found,
        "losses": losses,
    }
    return Measured(report, [rows.table(f"{workers} workers") for rows in page_tables(report)])


def throughput(workers: ProcessWorkers, seconds: float) -> dict[str, Any]:
    """What so many seconds bring when everything is taken at once, from when every worker has made its first one."""
    with fresh(workers) as engine:
        while not workers.told["made"].sum(axis=1).all():
            engine.draw()
        before, began = engine.counts(), time.monotonic()
        lengths = []
        while time.monotonic() - began < seconds:
            lengths.append(len(engine.draw().executed))
        counts, took = engine.counts(), time.monotonic() - began
    minutes = took / 60.0
    return {
        "episodes_per_minute": (counts.trajectories - before.trajectories) / minutes,
        "pairs_per_minute": (counts.observations - before.observations) / minutes,
        "median_rows": float(np.median(lengths)),
        "rejected": counts.rejected,
    }


def fresh(workers: ProcessWorkers) -> OnlineEngine:
    """Every trajectory once."""
    engine = OnlineEngine(workers, OnlineSettings(workers=workers.count, reuse=1, capacity=1))
    engine.begin(lambda episode: episode)
    return engine


def profile(simulation: Simulation, first_seed: int, episodes: int = 6) -> dict[str, Any]:
    """Processor time of an episode in this process, once a scene is compiled, and its shares by part; no part holds
    another one.
    """
    simulator = Simulator(simulation)
    played = [
        (simulation.choices[seed % len(simulation.choices)], seed) for seed in range(first_seed, first_seed + episodes)
    ]
    simulator.play(*played[0])
    began = time.process_time()
    for choice, seed in played:
        simulator.play(choice, seed)
    seconds = (time.process_time() - began) / episodes
    recorded = cProfile.Profile(time.process_time)
    for choice, seed in played:
        recorded.runcall(simulator.play, choice, seed)
    stats = pstats.Stats(recorded)
    times = {
        name: sum(it[3] for where, it in stats.stats.items() if Path(where[0]).name in files and where[2] == function)
        for name, (files, function) in PARTS.items()
    }
    times["expert"] = max(0.0, times["expert"] - times["plans"])  # which it makes, too
    shares = {name: value / stats.total_tt for name, value in times.items()}
    return {"cpu_seconds": seconds, "shares": shares | {"other": max(0.0, 1.0 - sum(shares.values()))}}


def drill(workers: ProcessWorkers, killed: int, hung: int, console: PlainConsole) -> dict[str, Any]:
    """Kill, then stop, one worker after the other while trajectories are taken, and account for every seed."""
    seeds: Counter[int] = Counter()
    lost_at = np.zeros(workers.count, dtype=np.int64)
    with fresh(workers) as engine, progress(console, "workers lost", killed + hung) as advance:
        patience = engine.silence
        for number in range(killed + hung):
            victim = number % workers.count
            _until(lambda v=victim: workers.told["made"][v].sum() > lost_at[v], lambda: _draw(engine, seeds))
            lost_at[victim] = workers.told["made"][victim].sum()
            pid, restarts = workers.processes[victim].pid, engine.counts().restarts
            os.kill(pid, signal.SIGKILL if number < killed else signal.SIGSTOP)
            engine.silence = patience if number < killed else HUNG
            _until(lambda r=restarts: engine.counts().restarts > r, lambda: _draw(engine, seeds))
            engine.silence = patience
            advance(1, "killed" if number < killed else "hung")
        told, memory = workers.told.copy(), FOLDER / workers.ring.name
        while (episode := workers.take()) is not None:
            seeds[episode.seed] += 1
    begun = int(((told["next_seed"] - workers.first_seed - np.arange(workers.count)) // workers.count).sum())
    made, failed = int(told["made"].sum()), int(told["failed"].sum())
    return {
        "killed": killed,
        "hung": hung,
        "taken": len(seeds),
        "taken_twice": sum(count > 1 for count in seeds.values()),
        "finished_and_not_taken": made - len(seeds),
        "begun_and_not_finished": begun - made - failed,
        "shared_memory_left": int(memory.exists()),
    }


def _draw(engine: OnlineEngine, seeds: Counter[int]) -> None:
    seeds[engine.draw().seed] += 1


def _until(is_so: Callable[[], bool], work: Callable[[], None]) -> None:
    while not is_so():
        work()


def feature_shape(encoder: Encoder) -> tuple[int, int, int, int]:
    """(cameras, rows, columns, channels) that it makes of one set of pictures."""
    size = encoder.checkpoint.preprocessing.size
    return encoder(np.zeros((3, *size, 3), np.uint8)).shape


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row per scene; where the time goes; the lost workers."""
    parts = [*PARTS, "other"]
    scenes, times = [], []
    for one in report["scenes"]:
        rejected = [f"{goal.partition('/')[2]} {100 * share:.0f} %" for goal, share in one["rejected"].items() if share]
        rates = [f"{one[name]:.0f}" for name in ("episodes_per_minute", "pairs_per_minute", "median_rows")]
        scenes.append([one["scene"], one["expansion"], *rates, ", ".join(rejected) or "none"])
        found = one["one_episode"]
        shares = [f"{100 * found['shares'][part]:.0f} %" for part in parts]
        times.append([one["scene"], f"{found['cpu_seconds']:.2f}", *shares])
    losses = report["losses"]
    return [
        Rows(["scene", "expansion", "episodes a minute", "pairs a minute", "rows (median)", "rejected"], scenes),
        Rows(["scene", "processor s an episode", *parts], times),
        Rows([name.replace("_", " ") for name in losses], [[str(number) for number in losses.values()]]),
    ]
