"""The command `clwm describe scene`: SDF worlds of scenes at the start of an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clwm_common.terminal.console import PlainConsole
from clwm_description.sdf import scene_sdf
from clwm_sim.registry import RegistryError, scenes
from clwm_sim.shipped_tasks import TASKS, UnknownTask
from clwm_sim.world import World


def scene(
    scene: Annotated[str, typer.Option(help="a scene or a task, or all")] = "all",
    seed: Annotated[int, typer.Option(min=0, help="of the episode, as of `clwm up` and `clwm eval`")] = 0,
    out: Annotated[Path, typer.Option(help="folder for SCENE_SEED.sdf")] = Path("out/sdf"),
) -> None:
    """Write the start of an episode as an SDF world for Gazebo or Drake: all but the arms, which a URDF describes."""
    console = PlainConsole(highlight=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in [*scenes(), *sorted(TASKS)] if scene == "all" else [scene]:
            called = f"{name.replace(':', '_')}_{seed}"
            path = out / f"{called}.sdf"
            path.write_text(scene_sdf(World(name, seed=seed), called))
            console.print(f"{name}: {path}", soft_wrap=True)
    except (UnknownTask, RegistryError) as error:
        console.error(error)
        raise typer.Exit(2) from None
