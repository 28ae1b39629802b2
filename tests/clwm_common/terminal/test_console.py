"""Texts of users, files and ROS reach the terminal as they are, brackets and all."""

import ast
import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress
from rich.table import Table

from clwm_common.files.model_files import project_root
from clwm_common.terminal.console import PlainConsole, description_column

# What rich would take for markup, for an emoji, or for an error.
TEXTS = (
    st.lists(
        st.sampled_from(
            ["[", "]", "/", "\\", "red", "bold", ":", "smiley", " ", "a", "[/]", "[red]", "[[", "é", "left"]
        ),
        min_size=1,
        max_size=8,
    )
    .map("".join)
    .filter(lambda text: text == text.strip())
)


def shown(write, **settings):
    console = PlainConsole(file=io.StringIO(), width=400, highlight=False, soft_wrap=True, **settings)
    write(console)
    return console.file.getvalue()


@given(TEXTS)
def test_every_way_to_say_something_shows_it_as_it_is(text):
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    for write in (
        lambda console: console.print(text),
        lambda console: console.error(text),
        lambda console: console.marked("note:", "yellow", text),
        lambda console: console.print(f"“{text}”"),
    ):
        assert text in shown(write)
    assert shown(lambda console: console.print(table)).count(text) >= 3


@given(TEXTS)
def test_a_status_and_a_progress_bar_show_it_as_it_is(text):
    def status(console):
        with console.status(text):
            pass

    def bar(console):
        with Progress(description_column(), console=console, auto_refresh=False) as progress:
            progress.add_task(text, total=1)

    for write in (status, bar):
        seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown(write, force_terminal=True, color_system=None))
        assert text in seen


SOURCES = [
    path for path in (project_root() / "src").glob("*/*/**/*.py") if not path.is_symlink() and path.name != "console.py"
]
MARKUP = re.compile(r"\[/?(?:bold |dim )?(?:red|green|yellow|cyan|bold|dim)[^\]]*\]|\[/\]")


def markup_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "Console" or (node.func.id == "TextColumn" and "task.description" in ast.unparse(node)):
                yield f"{path.name}:{node.lineno}: {node.func.id} reads markup; use clwm_common.terminal.console"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and MARKUP.search(node.value):
            yield f"{path.name}:{node.lineno}: markup is shown, not read; use rich's Text"


def test_no_command_has_a_console_or_a_text_of_its_own_that_reads_markup():
    assert len(SOURCES) > 100
    assert not [offence for path in SOURCES for offence in markup_in(path)]
