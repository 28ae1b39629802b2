"""`clwm bench gpu`: the model at full size on a GPU, as `python -m clwm_evaluation.gpu.process`, with a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.report import JsonFile, PngFile, refuse, write_json, write_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = ("eager_ms", "graph_ms", "compiled_ms", "floor_ms")


def gpu(
    size: Annotated[Literal["tiny", "nano", "base", "wan5b"], typer.Option(help="weights are random")] = "base",
    device: Annotated[Literal["cuda", "cpu"], typer.Option(help="cpu: to try the command, with --size tiny")] = "cuda",
    updates: Annotated[int, typer.Option(min=1, help="observations that memory is watched for")] = 2000,
    repeats: Annotated[int, typer.Option(min=1, help="of every timing")] = 50,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="also with torch.compile")] = True,
    seed: Annotated[int, typer.Option(min=0, help="of the weights")] = 0,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Step times against the roofline, blocking latency, memory over thousands of observations, overlap of streams."""
    # Here, since torch takes seconds to import and --help must not wait for it.
    from clwm_evaluation.gpu.process import DeviceError, Settings, measure

    console = PlainConsole(highlight=False)
    try:
        with console.status("gpu") as status:

            def say(text: str) -> None:
                status.update(text)
                if not console.is_terminal:
                    console.print(text, soft_wrap=True)

            report = measure(Settings(size, device, updates, repeats, compiled, seed=seed), say)
    except DeviceError as error:
        refuse(console, error)
    console.print(as_table(report))
    for name, row in report["blocking"].items():
        console.print(f"blocking, {name}: p50 {row['p50_ms']:.2f} ms, {row['of_sequential']:.2f} of sequential")
    memory, overlap = report["memory"], report["overlap"]
    console.print(
        f"memory: {memory['growth_mb']:+.2f} MB over {memory['updates']} updates, {memory['first_ms']:.2f} ms first, "
        f"{memory['last_ms']:.2f} ms last; a KV cache would hold {memory['kv_cache_mb_computed']:.0f} MB"
    )
    console.print(
        f"streams: {overlap['why_not']}"
        if overlap["why_not"]
        else f"streams: {overlap['serial_ms']:.2f} ms in turn, {overlap['overlapped_ms']:.2f} ms side by side"
    )
    write_json(console, report, json_file)
    write_png(console, lambda: draw(report), png)


def as_table(report: dict[str, Any]) -> Table:
    """One row per call."""
    table = Table(
        title=f"{report['size']}, {report['parameters'] / 1e6:.1f} M parameters, {report['dtype']}, {report['device']}"
    )
    table.add_column("call")
    for column in (*BARS, "best over floor"):
        table.add_column(column.replace("_", " "), justify="right")
    table.add_column("bound by")
    for name, row in report["calls"].items():
        cells = ("-" if row[bar] is None else f"{row[bar]:.3f}" for bar in BARS)
        table.add_row(name, *cells, f"{row['best_over_floor']:.2f}", row["bound"])
    return table


def draw(report: dict[str, Any]) -> Figure:
    """Ms of every call as bars, its floor the last of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
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


if __name__ == "__main__":
    typer.run(gpu)
