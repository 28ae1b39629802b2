"""`clwm bench overhead`: what the engine adds to the model's own work."""

from __future__ import annotations

from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from clwm_common.files.model_files import ModelFiles, ModelFilesError
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.measurements.overhead_measure import chunk_times, summarise
from clwm_evaluation.report import JsonFile, ModelName, progress, provenance, refuse, write_json
from clwm_policy.backends.choice import choose
from clwm_policy.backends.errors import BackendError
from clwm_policy.engine.re_entry import Plan, ReEntryError
from clwm_policy.loading import calibrated
from clwm_policy.model.checkpoint import CheckpointError, load_policy

GOAL = 1.10
MODES = ("sequential", "fixed:0.5", "adaptive")


def overhead(
    chunks: Annotated[int, typer.Option(min=1, help="of each mode")] = 100,
    model: ModelName = "nano",
    json_file: JsonFile = None,
) -> None:
    """Processor time of a whole chunk against that of the model's calls in it, asked again with nothing around them.

    A chunk is everything from request to report: noise, conditions, memory and its hash, verification, decoding.
    """
    console = PlainConsole()
    torch.set_num_threads(1)
    try:
        files = ModelFiles.load(model)
        choice = choose(files.backends, load_policy(files.policy), files.policy)
        plan = Plan(files.video_steps, files.action_steps)
        modes = {name: calibrated(name, files.policy, choice.policy, plan) for name in MODES}
    except (BackendError, CheckpointError, ModelFilesError, ReEntryError) as error:
        refuse(console, error)
    found: dict[str, Any] = {}
    embedding = torch.zeros(choice.policy.model.config.text_width)
    with progress(console, "chunks", chunks * len(modes)) as advance:
        for name, re_entry in modes.items():
            times = list(chunk_times(choice.policy, lambda sentence: embedding, re_entry, plan, chunks))
            found[name] = summarise(times)
            advance(chunks, name)
    report = {"modes": found, "goal": GOAL, "backend": choice.name, "model": model, **provenance("overhead", None)}
    console.print(as_table(report))
    write_json(console, report, json_file)


def as_table(report: dict[str, Any]) -> Table:
    """One row per mode."""
    table = Table(title=f"processor time of a chunk, {report['backend']}; goal: ratio at most {report['goal']}")
    for column in ("mode", "model calls", "chunk ms", "calls alone ms", "ratio"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    for name, row in report["modes"].items():
        numbers = f"{row['calls']:.0f}", f"{row['chunk_ms']:.1f}", f"{row['bare_ms']:.1f}", f"{row['ratio']:.3f}"
        table.add_row(name, *numbers)
    return table


if __name__ == "__main__":
    typer.run(overhead)
