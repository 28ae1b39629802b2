import cv2
import pytest
from typer.testing import CliRunner

from clwm_embodichain.commands import app
from clwm_embodichain.expansion import look_command
from clwm_embodichain.expansion.contact_sheet import COLUMNS, PICTURE, arranged, contact_sheet
from clwm_embodichain.expansion.parts import Expansion
from clwm_sim.registry import scenes


def run(*arguments):
    return CliRunner().invoke(app, ["look", *arguments])


def test_sheet_of_24_looks_is_written_where_it_is_asked_for(tmp_path):
    path = tmp_path / "deep" / "sheet.png"
    result = run("--scene", "pot", "--out", str(path))
    assert result.exit_code == 0 and f"pot: {path}" in result.output
    height, width, _ = cv2.imread(str(path)).shape
    assert width > COLUMNS * 3 * PICTURE and height > 6 * PICTURE


def test_all_scenes_have_a_sheet_of_their_own(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(look_command, "_write", lambda path, scene, *_: written.append((path.name, scene)))
    assert run("--scene", "all", "--out", str(tmp_path / "looks.jpg")).exit_code == 0
    assert written == [(f"looks_{name}.jpg", name) for name in scenes()]


def test_looks_without_expansion_are_alike_in_light_and_colour_of_the_table():
    cells = list(contact_sheet("cue", 0, Expansion.parse("none"), looks=5))
    corners = {tuple(cell[-20, 10]) for cell in cells}
    assert len(corners) == 1
    sheet = arranged(cells, "cue", Expansion.parse("none"))
    assert sheet.shape[0] > 2 * PICTURE and sheet.shape[1] == COLUMNS * cells[0].shape[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scene", "kitchen"), "scene 'kitchen' does not exist; expected one of blocks"),
        (
            ("--scene", "pot", "--expansion", "visul"),
            "expansion 'visul' does not exist; expected all, none, or some of",
        ),
        (("--scene", "pot", "--out", "sheet.gif"), "ends in '.gif'; expected one of .png, .jpg"),
        (("--scene", "pot", "--out", "/proc/nowhere/sheet.png"), "/proc/nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(arguments, words):
    result = run(*arguments)
    assert result.exit_code in (1, 2) and words in result.output and "Traceback" not in result.output
