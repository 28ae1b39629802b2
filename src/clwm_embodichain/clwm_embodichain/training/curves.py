"""Records of a training over time, and their picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Panel = tuple[tuple[str, ...], str, str]  # names of values, title, scale of their axis


class Curves:
    """Appends to a JSON-lines file, so that a resumed training continues its curves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, record: dict[str, Any]) -> None:
        # A run that was killed may have left half a line.
        before = self._path.read_bytes() if self._path.exists() else b""
        is_cut = before[-1:] not in (b"", b"\n")
        with self._path.open("a") as stream:
            stream.write("\n" * is_cut + json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [record for line in self._path.read_text().splitlines() if (record := _whole(line)) is not None]


def draw_curves(picture: Path, panels: Sequence[Panel], files: Mapping[str, Path]) -> Figure:
    """Records over minutes of training, as a PNG, and as a figure. files: of `Curves`, by what the legend calls them
    beside a name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for file, path in files.items():
        records = Curves(path).records()
        for axis, (names, _, _) in zip(axes, panels, strict=True):
            for name in names:
                points = [(record["minutes"], record[name]) for record in records if name in record]
                if points:
                    axis.plot(*zip(*points, strict=True), label=f"{file} {name}".strip() if len(names) > 1 else file)
    for axis, (_, title, scale) in zip(axes, panels, strict=True):
        axis.set(title=title, xlabel="minutes of training", yscale=scale)
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize="small")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    return figure


def _whole(line: str) -> dict[str, Any] | None:
    """None for half a line, which a run that was killed left: a point of a curve is no reason to refuse a training."""
    try:
        return json.loads(line)
    except ValueError:
        return None
