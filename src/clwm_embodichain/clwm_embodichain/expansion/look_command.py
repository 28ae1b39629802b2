"""The command `clwm data look`: contact sheets of random looks, to be looked at by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from clwm_common.terminal.console import PlainConsole, description_column
from clwm_embodichain.expansion.contact_sheet import LOOKS, arranged, contact_sheet
from clwm_embodichain.expansion.parts import Expansion, ExpansionError
from clwm_sim.cameras import RenderError
from clwm_sim.registry import RegistryError, scene_named, scenes

_KINDS = {".png": [], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 80]}


def look(
    scene: Annotated[str, typer.Option(help="one scene, or all")],
    seed: Annotated[int, typer.Option(min=0, help="of the first episode")] = 0,
    expansion: Annotated[
        str, typer.Option(help="what varies: all, none, or parts such as visual,physics")
    ] = "visual,mounting",
    out: Annotated[
        Path | None,
        typer.Option(help=".png or .jpg; with --scene all the scene's name is added; out/looks_SCENE.png if left out"),
    ] = None,
) -> None:
    """A contact sheet of 24 random looks of a scene as the three cameras see them."""
    console = PlainConsole(highlight=False)
    try:
        parts = Expansion.parse(expansion)
        names = list(scenes()) if scene == "all" else [scene_named(scene).name]
    except (ExpansionError, RegistryError) as error:
        console.error(error)
        raise typer.Exit(2) from None
    if out is not None and out.suffix not in _KINDS:
        console.error(f"--out {out} ends in '{out.suffix}'; expected one of {', '.join(_KINDS)}")
        raise typer.Exit(2)
    for name in names:
        path = Path(f"out/looks_{name}.png") if out is None else out
        if out is not None and scene == "all":
            path = out.with_stem(f"{out.stem}_{name}")
        try:
            _write(path, name, seed, parts, console)
        except (RenderError, OSError) as error:
            console.error(error)
            raise typer.Exit(1) from None
        console.print(f"{name}: {path}", soft_wrap=True)


def _write(path: Path, scene: str, seed: int, expansion: Expansion, console: PlainConsole) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (description_column(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        cells = list(progress.track(contact_sheet(scene, seed, expansion), total=LOOKS, description=scene))
    sheet = cv2.cvtColor(arranged(cells, scene, expansion), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(path.suffix, sheet, _KINDS[path.suffix])
    path.write_bytes(data.tobytes())
