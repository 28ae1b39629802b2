"""The picture of the memory trainings: loss, recall, the delay reached and the choices on held-out streams."""

from __future__ import annotations

from pathlib import Path

from clwm_embodichain.training.curves import Curves

_PANELS = (
    ("action", "action loss", "log"),
    ("recalled", "side read out after the wait", "linear"),
    ("longest", "longest delay trained [chunks]", "linear"),
    ("right_40", "right choices after 40 chunks, held out", "linear"),
)


def draw_curves(picture: Path, files: dict[str, Path]) -> None:
    """One line per training (name -> JSON lines of `Curves`) over minutes of processor time, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(_PANELS), figsize=(4.0 * len(_PANELS), 3.2), layout="constrained")
    for name, path in files.items():
        records = Curves(path).records()
        for axis, (key, _, _) in zip(axes, _PANELS, strict=True):
            points = [(record["minutes"], record[key]) for record in records if key in record]
            if points:
                axis.plot(*zip(*points, strict=True), label=name)
    for axis, (_, title, scale) in zip(axes, _PANELS, strict=True):
        axis.set(title=title, xlabel="processor minutes", yscale=scale)
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)
