"""What all measurements of `clwm bench` share: options, the way from a report to a terminal, a page, files."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.table import Table

from clwm_common.provenance import commit, machine
from clwm_common.terminal.console import PlainConsole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ModelName = Annotated[str, typer.Option("--model", help="name of a file in config/models")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="another checkpoint (.safetensors) than the model's")]
EncoderFolder = Annotated[Path | None, typer.Option("--encoder", help="another encoder folder than the model's")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="processes; one per core")]
FirstSeed = Annotated[int, typer.Option("--first-seed", min=0, help="apart from training and calibration")]
TrialMinutes = Annotated[float, typer.Option("--minutes", min=0.0, help="after which no other trial is begun")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="write the report here")]
PngFile = Annotated[Path | None, typer.Option("--png", help="draw it here")]


@dataclass(frozen=True)
class ReportFile:
    """Where a report without a picture goes."""

    json_file: JsonFile = None


@dataclass(frozen=True)
class ReportFiles(ReportFile):
    """Where a report and its picture go."""

    png: PngFile = None


@dataclass(frozen=True)
class Rows:
    """A table as texts, the same on a terminal and in docs/results.md.

    on_page: so many columns, from the first on, are in docs/results.md; None for all.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    on_page: int | None = None

    def table(self, title: str, left: int = 1, caption: str | None = None) -> Table:
        """For a terminal. left: columns of words, which come before those of numbers."""
        table = Table(title=title, caption=caption)
        for index, name in enumerate(self.header):
            is_name = index < left and not any(" " in row[index] for row in self.rows)
            table.add_column(name, justify="left" if index < left else "right", no_wrap=is_name)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> list[str]:
        """Lines for docs/results.md."""
        lines = (self.header, ["---"] * len(self.header), *self.rows)
        return ["| " + " | ".join(cells[: self.on_page]) + " |" for cells in lines]


@dataclass(frozen=True)
class Measured:
    """What a measurement found: its report, tables to look at, and what draws it."""

    report: dict[str, Any]
    tables: Sequence[Table]
    draw: Callable[[], Figure] | None = None


def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command of `function`, in which a parameter that is a dataclass is an option for each of its fields."""
    options: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            options += inspect.signature(parameter.annotation, eval_str=True).parameters.values()
        else:
            options.append(parameter)

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return function(**values)

    # By keyword only: an option without a default may follow one with it.
    command.__signature__ = inspect.Signature([one.replace(kind=one.KEYWORD_ONLY) for one in options])
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


def measurement(*refused: type[Exception], draws: bool = True) -> Callable[[Callable[..., Measured]], Callable]:
    """Makes a command of a function that takes a console and options and returns what it measured.

    The command has --json, and --png if it draws; it shows the tables and writes the files. What is in `refused` ends
    it with 2 and one sentence.
    """

    def decorate(measure: Callable[..., Measured]) -> Callable[..., None]:
        @functools.wraps(measure)
        def command(files: ReportFile, **options: Any) -> None:
            console = PlainConsole()
            try:
                found = measure(console, **options)
            except refused as error:
                refuse(console, error)
            seed = options.get("first_seed", options.get("seed"))
            report = found.report | provenance(measure.__name__, seed)
            for table in found.tables:
                console.print(table)
            write_json(console, report, files.json_file)
            if found.draw is not None and isinstance(files, ReportFiles):
                write_png(console, found.draw, files.png)

        _, *options = inspect.signature(measure, eval_str=True).parameters.values()
        kind = ReportFiles if draws else ReportFile
        files = inspect.Parameter("files", inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=kind())
        command.__signature__ = inspect.Signature([*options, files])
        return with_options(command)

    return decorate


def provenance(measurement: str, seed: int | None) -> dict[str, Any]:
    """What every report says about itself. seed: the first one; None where nothing is drawn."""
    return {"measurement": measurement, "seed": seed, "machine": machine(), "commit": commit()}


def write_json(console: PlainConsole, report: dict[str, Any], path: Path | None) -> None:
    """Write `report` to `path`, if there is one, as strict JSON, and say so. Raises ValueError for NaN in it."""
    if path is not None:
        text = json.dumps(report, indent=2, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        console.print(f"report: {path}", soft_wrap=True, highlight=False)


def write_png(console: PlainConsole, draw: Callable[[], Figure], path: Path | None) -> None:
    """Draw to `path`, if there is one, and say so."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw().savefig(path, dpi=150)
        console.print(f"plot: {path}", soft_wrap=True, highlight=False)


def refuse(console: PlainConsole, error: Exception) -> NoReturn:
    """End the command with 2 and one sentence for what the user can put right."""
    console.error(error)
    raise typer.Exit(2) from None


def text(value: float | None, form: str) -> str:
    """A dash where nothing was measured."""
    return "-" if value is None else form.format(value)


def percent(interval: Sequence[float], digits: int = 1) -> str:
    """Ends of an interval of a share."""
    low, high = (f"{100 * end:.{digits}f}" for end in interval)
    return f"{low} to {high} %"


def paired_difference(found: dict[str, Any] | None) -> tuple[str, str]:
    """Points with their interval, and p, of what `compare_pairs` found; empty without."""
    if found is None:
        return "", ""
    below, above = (100 * value for value in found["difference95"])
    return f"{100 * found['difference']:+.1f} ({below:+.1f} to {above:+.1f})", f"{found['mcnemar_exact_p']:.2g}"
