"""`clwm bench gpu`: the model at full size on a GPU, as `python -m clwm_evaluation.gpu.process`, with a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.plots import panels
from clwm_evaluation.report import Measured, Rows, measurement, refuse, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = ("eager_ms", "graph_ms", "compiled_ms", "floor_ms")


@measurement()
def gpu(
    console: PlainConsole,
    size: Annotated[Literal["tiny", "nano", "base", "wan5b"], typer.Option(help="weights are random")] = "base",
    device: Annotated[Literal["cuda", "cpu"], typer.Option(help="cpu: to try the command, with --size tiny")] = "cuda",
    updates: Annotated[int, typer.Option(min=1, help="observations that memory is watched for")] = 2000,
    repeats: Annotated[int, typer.Option(min=1, help="of every timing")] = 50,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="also with torch.compile")] = True,
    seed: Annotated[int, typer.Option(min=0, help="of the weights")] = 0,
) -> Measured:
    """Step times against the roofline, blocking latency, memory over thousands of observations, overlap of streams."""
    # Here, since torch takes seconds to import and --help must not wait for it.
    from clwm_evaluation.gpu.process import DeviceError, Settings, measure, sentences

    try:
        with console.status("gpu") as status:

            def say(what: str) -> None:
                status.update(what)
                if not console.is_terminal:
                    console.print(what, soft_wrap=True, highlight=False)

            report = measure(Settings(size, device, updates, repeats, compiled, seed=seed), say)
    except DeviceError as error:
        refuse(console, error)
    console.print(as_table(report))
    for sentence in sentences(report):
        console.print(sentence, highlight=False)
    return Measured(report, (), lambda: draw(report))


def as_table(report: dict[str, Any]) -> Table:
    """One row per call."""
    from clwm_evaluation.gpu.process import title

    columns = ["call", *(name.replace("_", " ") for name in (*BARS, "best over floor")), "bound by"]
    rows = [
        [name, *(text(row[bar], "{:.3f}") for bar in BARS), f"{row['best_over_floor']:.2f}", row["bound"]]
        for name, row in report["calls"].items()
    ]
    return Rows(columns, rows).table(title(report))


def draw(report: dict[str, Any]) -> Figure:
    """Ms of every call as bars, its floor the last of them."""
    figure, (axes,) = panels(1, 9, 4)
    for offset, bar in enumerate(BARS):
        rows = [(index, row[bar]) for index, row in enumerate(report["calls"].values()) if row[bar] is not None]
        if rows:
            places, heights = zip(*rows, strict=True)
            axes.bar([place + 0.2 * offset for place in places], heights, 0.2, label=bar.removesuffix("_ms"))
    axes.set_xticks([index + 0.3 for index in range(len(report["calls"]))], report["calls"], rotation=20)
    axes.set_yscale("log")
    axes.set_ylabel("ms")
    axes.set_title(f"{report['size']} on {report['device']}, {report['dtype']}")
    axes.legend()
    return figure
