"""The picture of `clwm bench memory`: who remembers, what it costs, and that the memory stays bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_COLOURS = {"ttt": "#55a868", "reset": "#dd8452", "kv": "#4c72b0", "window": "#8172b3"}


def draw_memory(report: dict[str, Any], titles: dict[str, str]) -> Figure:
    """Up to five panels, of what `report` holds. titles: of the models by name."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = []
    if report.get("remember_side"):
        panels.append(lambda axis: _remembered(axis, report["remember_side"], titles))
    if report.get("cost"):
        panels.append(lambda axis: _cost(axis, report["cost"], titles, "state_bytes", 2**-20, "memory [MiB]"))
        panels.append(
            lambda axis: _cost(axis, report["cost"], titles, "chunk_ms", 1.0, "processor time of a chunk [ms]")
        )
    if report.get("ttt"):
        panels.append(lambda axis: _norms(axis, report["ttt"]["moments"]))
        panels.append(lambda axis: _resident(axis, report["ttt"]["moments"]))
    figure, axes = plt.subplots(1, max(1, len(panels)), figsize=(4.2 * max(1, len(panels)), 3.6), layout="constrained")
    for axis, panel in zip(figure.axes if len(panels) > 1 else [axes], panels, strict=False):
        panel(axis)
        axis.grid(alpha=0.3)
    return figure


def _remembered(axis: Axes, table: dict[str, Any], titles: dict[str, str]) -> None:
    for name, cells in table.items():
        delays = [int(delay) for delay in cells]
        rates = [cell["rate"] for cell in cells.values()]
        low = [cell["rate"] - cell["wilson95"][0] for cell in cells.values()]
        high = [cell["wilson95"][1] - cell["rate"] for cell in cells.values()]
        axis.errorbar(delays, rates, yerr=[low, high], marker="o", capsize=3, **_look(name, titles))
    axis.axhline(0.5, color="grey", linestyle=":", label="chance")
    axis.set(title="remember_side: right hand chosen", xlabel="delay [chunks]", xscale="log", ylim=(0.0, 1.05))
    delays = sorted({int(delay) for cells in table.values() for delay in cells})
    axis.set_xticks(delays, [str(delay) for delay in delays])
    axis.set_xticks([], minor=True)
    axis.legend(fontsize=7)


def _cost(axis: Axes, cost: dict[str, Any], titles: dict[str, str], key: str, scale: float, title: str) -> None:
    for name, cells in cost.items():
        points = [(int(steps), scale * cell[key]) for steps, cell in cells.items()]
        axis.plot(*zip(*points, strict=True), marker="o", **_look(name, titles))
    axis.set(title=title, xlabel="observations", xscale="log", yscale="log")
    axis.legend(fontsize=7)


def _look(name: str, titles: dict[str, str]) -> dict[str, Any]:
    return {"label": titles.get(name, name), "color": _COLOURS.get(name)}


def _norms(axis: Axes, moments: list[dict[str, Any]]) -> None:
    updates = [moment["updates"] for moment in moments]
    for index in range(len(moments[0]["norms"])):
        axis.plot(
            updates, [moment["norms"][index] for moment in moments], label=f"layer {index // 2}, W{index % 2 + 1}"
        )
    axis.set(title="norms of W", xlabel="updates", ylim=(0.0, None))
    axis.legend(fontsize=7, loc="center", bbox_to_anchor=(0.5, 0.68), ncols=2)


def _resident(axis: Axes, moments: list[dict[str, Any]]) -> None:
    axis.plot([moment["updates"] for moment in moments], [moment["resident_mb"] for moment in moments])
    axis.set(title="resident memory of the process [MiB]", xlabel="updates", ylim=(0.0, None))
