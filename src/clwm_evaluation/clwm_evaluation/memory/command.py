"""`clwm bench memory`: does it remember, what does that cost, and does it stay so for ever?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer
from rich.table import Table

from clwm_common.files.model_files import ModelFiles, ModelFilesError
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.training.memory.kv_model import KvClwm
from clwm_evaluation.memory.choices import (
    CONTESTANTS,
    DELAYS,
    FIRST_SEED,
    load_contestant,
    run_trials,
    summarise,
)
from clwm_evaluation.memory.cost import LongRun, cost_at
from clwm_evaluation.plots import panels
from clwm_evaluation.report import Measured, ModelName, Rows, measurement, percent
from clwm_perception.checkpoint import EncoderError
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.checkpoint import CheckpointError, Policy, load_policy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = (100, 500, 2000)
WINDOW = 64  # observations: about 40 s
_MOMENTS = 200  # of the long run
TITLES = {"ttt": "TTT", "reset": "TTT, reset at every chunk", "kv": "KV cache", "window": "KV window"}
_COLOURS = {"ttt": "#55a868", "reset": "#dd8452", "kv": "#4c72b0", "window": "#8172b3"}


@measurement(CheckpointError, EncoderError, ModelFilesError, ValueError)
def memory(
    console: PlainConsole,
    updates: Annotated[int, typer.Option(min=0, help="of the long run of the TTT memory; 0 leaves it out")] = 100_000,
    episodes: Annotated[
        int, typer.Option(min=0, help="of remember_side, per delay and model, an even number; 0 leaves it out")
    ] = 50,
    chunks: Annotated[int, typer.Option(min=0, help="timed at each history length; 0 leaves the cost out")] = 5,
    model: ModelName = "nano",
    models: Annotated[Path, typer.Option(help="folder of the policies that train_memory made")] = Path("models/memory"),
    trials: Annotated[
        Path | None, typer.Option(help="JSON lines that keep finished episodes; those found there are not run again")
    ] = None,
    first_seed: Annotated[int, typer.Option(min=0)] = FIRST_SEED,
) -> Measured:
    """The memory: what it costs beside a KV cache, whether it stays bounded, and what it remembers.

    Cost and long run are of the model's size and its weights (the KV cache's cost does not depend on them); times are
    processor time of one thread. remember_side is in closed loop: rendered pictures, encoder, engine, executor.
    """
    torch.set_num_threads(1)
    report: dict[str, Any] = {}
    files = ModelFiles.load(model)
    policy, plan = load_policy(files.policy), Plan(files.video_steps, files.action_steps)
    report["policy_hash"] = policy.policy_hash
    if chunks:
        report["cost"] = cost(policy, plan, chunks, console)
        console.print(cost_rows(report).table("one chunk after so many observations"))
    if updates:
        report["ttt"] = long_run(policy, plan, updates, console)
        console.print(long_table(report["ttt"]))
    if episodes:
        report |= remembered(models, files.encoder, episodes, first_seed, trials, console)
        title = "remember_side: asked hand chosen, Wilson 95 % (chance 50 %)"
        console.print(remembered_rows(report).table(title))
    return Measured(report, (), lambda: draw_memory(report))


def cost(policy: Policy, plan: Plan, chunks: int, console: PlainConsole) -> dict[str, Any]:
    """The three memories at the same history lengths, the same sizes of blocks and the same program."""
    config = policy.model.config
    rivals = {
        "ttt": policy.model,
        "kv": KvClwm(config).eval(),
        "window": KvClwm(config, WINDOW).eval(),
    }
    found = {}
    with progress(console, "cost", len(rivals) * len(STEPS)) as advance:
        for name, rival in rivals.items():
            found[name] = cost_at(rival, plan, STEPS, chunks, lambda steps, name=name: None)
            advance(len(STEPS), TITLES[name])
    return found


def long_run(policy: Policy, plan: Plan, updates: int, console: PlainConsole) -> dict[str, Any]:
    run = LongRun(policy.model, plan, updates, max(1, updates // _MOMENTS))
    with progress(console, "long run", updates) as advance:
        before = 0
        for done in run:
            if console.is_terminal or done * 10 // updates > before * 10 // updates:
                advance(done - before, "")
                before = done
    return run.report()


def remembered(
    models: Path, encoder: Path, episodes: int, first_seed: int, trials: Path | None, console: PlainConsole
) -> dict[str, Any]:
    names, outcomes, right = list(CONTESTANTS), [], 0
    hashes = {name: load_contestant(name, models).policy_hash for name in names}
    with progress(console, "remember_side", len(names) * len(DELAYS) * episodes) as advance:
        for outcome, was_kept in run_trials(trials, names, DELAYS, episodes, first_seed, models, encoder):
            outcomes.append(outcome)
            right += outcome.outcome == "success"
            kept = ", kept" if was_kept else ""
            advance(1, f"{outcome.contestant} after {outcome.delay}: {outcome.outcome}{kept}")
    return {"remember_side": summarise(outcomes), "remember_side_policies": hashes}


def long_table(found: dict[str, Any]) -> Table:
    table = Table(title=f"TTT, {found['updates']} updates")
    table.add_column("what")
    table.add_column("value", justify="right")
    compared = found["compared_chunks"]
    table.add_row(f"growth of resident memory after the first {compared}", f"{found['resident_growth_mb']:.2f} MiB")
    table.add_row(f"processor time, last {compared} chunks over first", f"{found['latency_last_over_first']:.3f}")
    times = "{latency_first_ms:.1f}, {latency_last_ms:.1f} ms; {fresh_first_ms:.1f}, {fresh_last_ms:.1f} ms"
    table.add_row("their medians; those of fresh episodes beside them", times.format(**found))
    table.add_row("largest norm of W", f"{found['norm_max']:.1f}")
    table.add_row("bytes of W", f"{found['state_bytes']}")
    return table


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """Right choices, cost, and what an endless episode does to the TTT memory."""
    run = report["ttt"]
    header = ["updates", "growth of resident memory MiB", "time of a chunk, last 1,000 over first", "largest norm of W"]
    growth, slower = f"{run['resident_growth_mb']:.2f}", f"{run['latency_last_over_first']:.3f}"
    endless = Rows(header, [[f"{run['updates']:,}", growth, slower, f"{run['norm_max']:.1f}"]])
    return [remembered_rows(report), cost_rows(report), endless]


def remembered_rows(report: dict[str, Any]) -> Rows:
    """Right choices of remember_side, one row per memory and one column per delay."""
    table = report["remember_side"]
    delays = list(next(iter(table.values())))
    rows = [
        [
            TITLES[name],
            *(f"{cell['right']} / {cell['episodes']} ({percent(cell['wilson95'], 0)})" for cell in cells.values()),
        ]
        for name, cells in table.items()
    ]
    return Rows(["memory", *(f"{delay} chunks" for delay in delays)], rows)


def cost_rows(report: dict[str, Any]) -> Rows:
    """A chunk's processor time and the bytes held, one row per memory, one column per history."""
    steps = list(report["cost"]["ttt"])
    rows = [
        [TITLES[name], *(f"{cells[n]['chunk_ms']:.0f} ms, {cells[n]['state_bytes'] / 2**20:.1f} MiB" for n in steps)]
        for name, cells in report["cost"].items()
    ]
    return Rows(["memory", *(f"after {n} observations" for n in steps)], rows)


def draw_memory(report: dict[str, Any]) -> Figure:
    """Up to five panels, of what `report` holds."""
    drawn = []
    if report.get("remember_side"):
        drawn.append(lambda axis: _remembered(axis, report["remember_side"]))
    if report.get("cost"):
        drawn.append(lambda axis: _cost(axis, report["cost"], "state_bytes", 2**-20, "memory [MiB]"))
        drawn.append(lambda axis: _cost(axis, report["cost"], "chunk_ms", 1.0, "processor time of a chunk [ms]"))
    if report.get("ttt"):
        drawn.append(lambda axis: _norms(axis, report["ttt"]["moments"]))
        drawn.append(lambda axis: _resident(axis, report["ttt"]["moments"]))
    figure, axes = panels(max(1, len(drawn)), 4.2 * max(1, len(drawn)), 3.6)
    for axis, panel in zip(axes, drawn, strict=False):
        panel(axis)
        axis.grid(alpha=0.3)
    return figure


def _remembered(axis: Axes, table: dict[str, Any]) -> None:
    for name, cells in table.items():
        delays = [int(delay) for delay in cells]
        rates = [cell["rate"] for cell in cells.values()]
        low = [cell["rate"] - cell["wilson95"][0] for cell in cells.values()]
        high = [cell["wilson95"][1] - cell["rate"] for cell in cells.values()]
        axis.errorbar(delays, rates, yerr=[low, high], marker="o", capsize=3, **_look(name))
    axis.axhline(0.5, color="grey", linestyle=":", label="chance")
    axis.set(title="remember_side: right hand chosen", xlabel="delay [chunks]", xscale="log", ylim=(0.0, 1.05))
    delays = sorted({int(delay) for cells in table.values() for delay in cells})
    axis.set_xticks(delays, [str(delay) for delay in delays])
    axis.set_xticks([], minor=True)
    axis.legend(fontsize=7)


def _cost(axis: Axes, cost: dict[str, Any], key: str, scale: float, title: str) -> None:
    for name, cells in cost.items():
        points = [(int(steps), scale * cell[key]) for steps, cell in cells.items()]
        axis.plot(*zip(*points, strict=True), marker="o", **_look(name))
    axis.set(title=title, xlabel="observations", xscale="log", yscale="log")
    axis.legend(fontsize=7)


def _look(name: str) -> dict[str, Any]:
    return {"label": TITLES[name], "color": _COLOURS.get(name)}


def _norms(axis: Axes, moments: list[dict[str, Any]]) -> None:
    updates = [moment["updates"] for moment in moments]
    for index in range(len(moments[0]["norms"])):
        axis.plot(
            updates, [moment["norms"][index] for moment in moments], label=f"layer {index // 2}, W{index % 2 + 1}"
        )
    axis.set(title="norms of W", xlabel="updates", ylim=(0.0, None))
    axis.legend(fontsize=7, loc="center", bbox_to_anchor=(0.5, 0.68), ncols=2)


def _resident(axis: Axes, moments: list[dict[str, Any]]) -> None:
    axis.plot([moment["updates"] for moment in moments], [moment["resident_mb"] for moment in moments])
    axis.set(title="resident memory of the process [MiB]", xlabel="updates", ylim=(0.0, None))
