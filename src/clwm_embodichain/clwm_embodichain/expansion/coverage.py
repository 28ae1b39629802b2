"""The command `clwm data coverage`: how evenly initial states cover the ways in which hands come to what they take."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from clwm_common.provenance import commit, machine
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.expansion.reachability import DIRECTIONS, MANIPULABILITY, Bin, Candidate, Reachability
from clwm_sim.registry import RegistryError, kinds_in, scene_named, scenes
from clwm_sim.world import ROBOT

_PARTS = ("direction", "manipulability", "turn")


def coverage(
    scene: Annotated[str | None, typer.Option(help="one scene; all when left out")] = None,
    states: Annotated[int, typer.Option(min=10, help="states of each goal, without and with")] = 400,
    json_file: Annotated[Path, typer.Option("--json")] = Path("benchmarks/results/reachability.json"),
    picture: Annotated[Path, typer.Option()] = Path("docs/images/reachability.png"),
) -> None:
    """How evenly initial states cover approach direction, manipulability and turn, without and with `reachability`."""
    console = PlainConsole(highlight=False)
    try:
        names = list(scenes()) if scene is None else [scene_named(scene).name]
    except RegistryError as error:
        console.error(error)
        raise typer.Exit(2) from None
    report = measure(names, states, console)
    for path in (json_file, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(report, indent=2) + "\n")
    draw(report, picture)
    for row in report["goals"]:
        evenly = f"as many filled evenly: {row['off']['even']:.0f} without, {row['on']['even']:.0f} with"
        console.print(f"{row['scene']} {row['goal']}: {row['bins']} bins, {evenly}; {row['ms']:.1f} ms a state")
    console.print(f"report: {json_file}, picture: {picture}", soft_wrap=True)


def measure(names: Iterable[str], states: int, console: PlainConsole) -> dict[str, Any]:
    """The report: of each goal, how many states fall into which bins without the part, hands at home, and with it."""
    reachability = Reachability(RobotDescription.load(ROBOT))
    home = reachability.at_home()
    pairs = [(scene, kind.kind) for scene in names for kind in kinds_in(scene)]
    rows = []
    for scene, kind in track(pairs, "initial states", console=console, transient=True):
        off = [reachability.candidate(scene, kind, np.random.default_rng([seed, 1]), home) for seed in range(states)]
        before = _counts(filter(None, off))
        if not before:
            continue
        next(reachability.preferred(scene, kind, np.random.default_rng(0)))  # counts the pilots, once a process
        began = time.process_time()
        chosen = [next(reachability.preferred(scene, kind, np.random.default_rng([seed, 2]))) for seed in range(states)]
        took = time.process_time() - began
        after = _counts(chosen)
        rows.append(
            {
                "scene": scene,
                "goal": kind,
                "bins": len(before | after),
                "off": _summary(before),
                "on": _summary(after),
                "ms": round(1000.0 * took / states, 2),
            }
        )
    return {
        "measurement": "reachability",
        "states": states,
        "directions": DIRECTIONS,
        "manipulability": MANIPULABILITY,
        "goals": rows,
        "machine": machine(),
        "commit": commit(),
    }


def _counts(candidates: Iterable[Candidate]) -> Counter[Bin]:
    return Counter(each for candidate in candidates for each in candidate.bins)


def _summary(counts: Counter[Bin]) -> dict[str, Any]:
    """even: how many bins filled evenly would be as uncertain (the exponential of the entropy)."""
    shares = np.array(list(counts.values())) / counts.total()
    parts = {name: Counter[int]() for name in _PARTS}
    for (_, *values), count in counts.items():
        for name, value in zip(_PARTS, values, strict=True):
            parts[name][value] += count
    return {
        "bins": len(counts),
        "even": round(float(np.exp(-(shares * np.log(shares)).sum())), 1),
        "fullest": round(float(shares.max()), 4),
        **{name: {str(value): found[value] for value in sorted(found)} for name, found in parts.items()},
    }


def draw(report: dict[str, Any], path: Path) -> None:
    """The first goal's bins by each of their parts, and how evenly those of all goals are filled."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, since it takes a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.6])
    row = report["goals"][0]
    for each, name in zip(axes, _PARTS, strict=False):
        keys = sorted({*row["off"][name], *row["on"][name]}, key=int)
        for offset, which, colour in ((-0.2, "off", "#8c8c8c"), (0.2, "on", "#55a868")):
            counts = np.array([row[which][name].get(key, 0) for key in keys], dtype=float)
            label = {"off": "without", "on": "with"}[which]
            each.bar(np.arange(len(keys)) + offset, counts / counts.sum(), 0.4, color=colour, label=label)
        each.set_xticks(range(len(keys)), [_label(name, int(key)) for key in keys], fontsize=7)
        each.set_title(f"{row['scene']}, {row['goal']}: {name}", fontsize=9)
    axes[0].legend(fontsize=7)
    axes[0].set_ylabel("share of the states")
    names = [f"{row['scene']} {row['goal']}" for row in report["goals"]]
    for offset, which, colour in ((0.2, "off", "#8c8c8c"), (-0.2, "on", "#55a868")):
        evenly = [row[which]["even"] / row["bins"] for row in report["goals"]]
        axes[3].barh(np.arange(len(names)) + offset, evenly, 0.4, color=colour)
    axes[3].set_yticks(range(len(names)), names, fontsize=7)
    axes[3].set_xlim(0.0, 1.0)
    axes[3].set_title("bins filled evenly, of all bins", fontsize=9)
    figure.savefig(path, dpi=110)


def _label(part: str, value: int) -> str:
    match part:
        case "direction":
            return f"{360 // DIRECTIONS * value}°"
        case "manipulability":
            edges = [f"{edge:g}" for edge in MANIPULABILITY]
            return f"{edges[value - 1]}-{edges[value]}" if value < len(edges) else f">{edges[-1]}"
    return ("right", "straight", "left")[value]
