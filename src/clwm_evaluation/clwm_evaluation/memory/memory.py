"""`clwm bench memory`: does it remember, what does that cost, and does it stay so for ever?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from clwm_common.files.model_files import ModelFiles, ModelFilesError
from clwm_common.terminal.console import PlainConsole
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
from clwm_evaluation.memory.plot import draw_memory
from clwm_evaluation.report import (
    JsonFile,
    ModelName,
    PngFile,
    progress,
    provenance,
    refuse,
    write_json,
    write_png,
)
from clwm_perception.checkpoint import EncoderError
from clwm_policy.engine.re_entry import Plan
from clwm_policy.model.checkpoint import CheckpointError, Policy, load_policy

STEPS = (100, 500, 2000)
WINDOW = 64  # observations: about 40 s
_MOMENTS = 200  # of the long run
_TITLES = {"ttt": "TTT", "kv": "KV cache", "window": f"KV window of {WINDOW}"}


def memory(
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
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """The memory: what it costs beside a KV cache, whether it stays bounded, and what it remembers.

    Cost and long run are of the model's size and its weights (the KV cache's cost does not depend on them); times are
    processor time of one thread. remember_side is in closed loop: rendered pictures, encoder, engine, executor.
    """
    console = PlainConsole()
    torch.set_num_threads(1)
    report: dict[str, Any] = {}
    try:
        files = ModelFiles.load(model)
        policy, plan = load_policy(files.policy), Plan(files.video_steps, files.action_steps)
        report["policy_hash"] = policy.policy_hash
        if chunks:
            report["cost"] = cost(policy, plan, chunks, console)
            console.print(cost_table(report["cost"]))
        if updates:
            report["ttt"] = long_run(policy, plan, updates, console)
            console.print(long_table(report["ttt"]))
        if episodes:
            report |= remembered(models, files.encoder, episodes, first_seed, trials, console)
            console.print(remember_table(report["remember_side"]))
    except (CheckpointError, EncoderError, ModelFilesError, ValueError) as error:
        refuse(console, error)
    report |= provenance("memory", first_seed)
    write_json(console, report, json_file)
    titles = _TITLES | {f"{name}": contestant.title for name, contestant in CONTESTANTS.items()}
    write_png(console, lambda: draw_memory(report, titles), png)


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
            advance(len(STEPS), _TITLES[name])
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


def cost_table(found: dict[str, Any]) -> Table:
    table = Table(title="one chunk after so many observations")
    table.add_column("memory")
    for steps in STEPS:
        table.add_column(f"{steps}", justify="right")
    for name, cells in found.items():
        texts = (f"{cell['chunk_ms']:.0f} ms, {cell['state_bytes'] / 2**20:.1f} MiB" for cell in cells.values())
        table.add_row(_TITLES[name], *texts)
    return table


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


def remember_table(found: dict[str, Any]) -> Table:
    table = Table(title="remember_side: asked hand chosen, Wilson 95 % (chance 50 %)")
    table.add_column("memory")
    for delay in DELAYS:
        table.add_column(f"{delay} chunks", justify="right")
    for name, cells in found.items():
        texts = []
        for cell in cells.values():
            low, high = cell["wilson95"]
            texts.append(f"{cell['right']}/{cell['episodes']} ({100 * low:.0f} to {100 * high:.0f} %)")
        table.add_row(CONTESTANTS[name].title, *texts)
    return table


if __name__ == "__main__":
    typer.run(memory)
