"""Records of a training over time, and their picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PANELS = (
    (("action", "video"), "loss", "log"),
    (("eef_mm", "eef_p90_mm"), "held-out chunk error [mm]", "log"),
    (("surrogate_error", "copy_error"), "relative error of the next feature", "linear"),
)


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

    def draw(self, picture: Path) -> None:
        """Losses and validation over minutes of training, as a PNG."""
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        records = self.records()
        figure, axes = plt.subplots(1, len(_PANELS), figsize=(4.5 * len(_PANELS), 3.2), layout="constrained")
        for axis, (names, title, scale) in zip(axes, _PANELS, strict=True):
            for name in names:
                points = [(record["minutes"], record[name]) for record in records if name in record]
                if points:
                    axis.plot(*zip(*points, strict=True), label=name)
            axis.set(title=title, xlabel="minutes of training", yscale=scale)
            if axis.lines:
                axis.legend()
            axis.grid(alpha=0.3)
        figure.savefig(picture, dpi=110)
        plt.close(figure)


def _whole(line: str) -> dict[str, Any] | None:
    """None for half a line, which a run that was killed left: a point of a curve is no reason to refuse a training."""
    try:
        return json.loads(line)
    except ValueError:
        return None
