"""`clwm`: one command line for the whole stack. A command is imported only when called: --help answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command

from clwm_common.model_files import ModelFilesError
from clwm_common.robot import RobotError


@dataclass(frozen=True)
class CommandPlace:
    """Where a command's function is. passes_on: its arguments go unparsed to that module's own parser."""

    module: str
    function: str
    summary: str
    passes_on: bool = False


COMMANDS = {
    "demo": CommandPlace("clwm_bringup.commands.demo", "demo", "Run four episodes; table, video, timeline and report"),
    "up": CommandPlace("clwm_bringup.commands.up", "up", "Start the stack and keep it running until Ctrl-C"),
    "eval": CommandPlace(
        "clwm_embodichain.evaluation_command", "evaluate", "Success and latency under a virtual clock"
    ),
    "chaos": CommandPlace("clwm_embodichain.chaos_command", "chaos", "Let faults loose on the executor, and check it"),
    "calibrate": CommandPlace("clwm_embodichain.calibrate", "calibrate", "Measure how far speculation may be trusted"),
    "bench": CommandPlace("clwm_embodichain.bench_command", "bench", "Measure what the stack claims"),
    "doctor": CommandPlace("clwm_bringup.commands.doctor", "doctor", "Check the whole installation, with remedies"),
    "record": CommandPlace("clwm_embodichain.record", "main", "Record the expert's episodes as training data", True),
    "train-encoder": CommandPlace("clwm_embodichain.encoder_training", "main", "Train the nano image encoder", True),
    "train-policy": CommandPlace(
        "clwm_embodichain.train_policy", "main", "Train the policy on recorded episodes", True
    ),
}
EPILOG = (
    "Examples:  clwm demo  |  clwm up --task place_block --sai sequential  |  "
    "clwm eval --task lift_tray --episodes 20 --sai fixed:0.5  |  clwm doctor"
)


class LazyGroup(TyperGroup):
    """Lists commands from their summaries; loads the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        place = COMMANDS.get(name)
        return None if place is None else click.Command(name, help=place.summary, short_help=place.summary)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stub, rest = super().resolve_command(ctx, args)
        return name, None if stub is None else load(str(name), COMMANDS[str(name)]), rest


def load(name: str, place: CommandPlace) -> click.Command:
    """Import a command and give it its name."""
    function = getattr(importlib.import_module(place.module), place.function)
    return _passing_on(name, place, function) if place.passes_on else _parsed(name, function)


def _parsed(name: str, function: Callable[..., Any]) -> click.Command:
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    single.command(name, epilog=EPILOG)(function)
    return get_command(single)


def _passing_on(name: str, place: CommandPlace, function: Callable[..., Any]) -> click.Command:
    def call(arguments: tuple[str, ...]) -> None:
        sys.argv = [f"clwm {name}", *arguments]
        sys.exit(function())

    return click.Command(
        name,
        help=place.summary,
        callback=call,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
    )


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


@app.callback(help="A causal latent world model on two arms: start it, show it, measure it, train it.")
def _root() -> None:
    pass


def main() -> None:
    """Entry point. Errors in what the user gave end in one sentence, not a traceback."""
    from clwm_bringup.graph import GraphError

    try:
        app(prog_name="clwm")
    except (GraphError, ModelFilesError, RobotError) as error:
        print(f"clwm: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
