"""What all measurements of `clwm bench` share: options, progress, provenance, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from clwm_common.provenance import commit, machine
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress as progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ModelName = Annotated[str, typer.Option("--model", help="name of a file in config/models")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="another checkpoint (.safetensors) than the model's")]
EncoderFolder = Annotated[Path | None, typer.Option("--encoder", help="another encoder folder than the model's")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="processes; one per core")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="write the report here")]
PngFile = Annotated[Path | None, typer.Option("--png", help="draw it here")]


def provenance(measurement: str, seed: int | None) -> dict[str, Any]:
    """What every report says about itself. seed: the first one; None where nothing is drawn."""
    return {"measurement": measurement, "seed": seed, "machine": machine(), "commit": commit()}


def write_json(console: PlainConsole, report: dict[str, Any], path: Path | None) -> None:
    """Write `report` to `path`, if there is one, as strict JSON, and say so. Raises ValueError for NaN in it."""
    if path is not None:
        text = json.dumps(report, indent=2, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        console.print(f"report: {path}", soft_wrap=True, highlight=False)


def write_png(console: PlainConsole, draw: Callable[[], Figure], path: Path | None) -> None:
    """Draw to `path`, if there is one, and say so."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw().savefig(path, dpi=150)
        console.print(f"plot: {path}", soft_wrap=True, highlight=False)


def refuse(console: PlainConsole, error: Exception) -> NoReturn:
    """End the command with 2 and one sentence for what the user can put right."""
    console.error(error)
    raise typer.Exit(2) from None
