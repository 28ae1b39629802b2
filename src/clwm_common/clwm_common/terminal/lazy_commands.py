"""Command line groups whose commands are imported only when called, so that --help answers at once."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command


@dataclass(frozen=True)
class CommandPlace:
    """Where a command's function, or the typer app of a whole group, is.

    passes_on: its arguments go unparsed to that module's own parser.
    """

    module: str
    function: str
    summary: str
    passes_on: bool = False


def lazy_group(
    places: Mapping[str, CommandPlace], purpose: str, epilog: str, before: Callable[[str], None] = lambda name: None
) -> typer.Typer:
    """A group of these commands in this order. purpose: its help; epilog: examples, shown below every command's.

    before: called with the name of a command that is about to run; not for its --help.
    """

    class LazyGroup(TyperGroup):
        """Lists commands from their summaries; loads the one that is called."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(places)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            place = places.get(name)
            return None if place is None else click.Command(name, help=place.summary, short_help=place.summary)

        def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:
            name, stub, rest = super().resolve_command(ctx, args)
            if stub is None:
                return name, None, rest
            command = load(str(name), places[str(name)], epilog)
            command.invoke = functools.partial(_invoke_after, functools.partial(before, name), command.invoke)
            return name, command, rest

    app = typer.Typer(
        cls=LazyGroup,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=epilog,
    )
    app.callback(help=purpose)(lambda: None)
    return app


def load(name: str, place: CommandPlace, epilog: str) -> click.Command:
    """Import a command and give it its name."""
    found = getattr(importlib.import_module(place.module), place.function)
    if place.passes_on:
        return _passing_on(name, place, found)
    return get_command(found) if isinstance(found, typer.Typer) else _parsed(name, found, epilog)


def _invoke_after(before: Callable[[], None], invoke: Callable[[click.Context], Any], context: click.Context) -> Any:
    before()
    return invoke(context)


def _parsed(name: str, function: Callable[..., Any], epilog: str) -> click.Command:
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    single.command(name, epilog=epilog)(function)
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
