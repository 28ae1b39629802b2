"""What the pictures of several measurements share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"sequential": "#c44e52", "fixed:0.5": "#4c72b0", "adaptive": "#55a868", "naive": "#8c8c8c"}
OTHER = "#8172b3"


def panels(count: int, width: float, height: float, **layout: Any) -> tuple[Figure, NDArray]:
    """A figure of this size [inch] with (count,) axes side by side."""
    # Here, since matplotlib takes a second to import, and most measurements are not drawn.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    return figure, figure.subplots(1, count, squeeze=False, **layout)[0]


def dots_and_box(axes: Axes, heights: list[str], values: list[NDArray], shown: tuple[float, float] | None) -> None:
    """A line of each name: a dot for each of its values (n,), and a box; dots outside `shown` are at its ends."""
    rng = np.random.default_rng(0)
    for height, (name, found) in enumerate(zip(heights, values, strict=True)):
        jitter = height + rng.uniform(-0.3, 0.3, len(found))
        dots = found if shown is None else np.clip(found, *shown)
        axes.scatter(dots, jitter, s=7, alpha=0.35, color=COLOURS.get(name, OTHER), linewidth=0)
        if len(found):
            axes.boxplot(
                [found],
                positions=[height],
                orientation="horizontal",
                widths=0.5,
                whis=(5, 95),
                showfliers=False,
                medianprops={"color": "black", "linewidth": 2},
            )
    axes.set_yticks(range(len(heights)), heights)
