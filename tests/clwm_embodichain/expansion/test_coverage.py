"""Coverage of initial states: what is counted of both, and the picture of it."""

import json

import typer
from typer.testing import CliRunner

from clwm_embodichain.expansion.coverage import coverage

app = typer.Typer()
app.command()(coverage)


def test_states_are_counted_by_their_bins_without_and_with_the_part_and_drawn(tmp_path):
    report, picture = tmp_path / "reachability.json", tmp_path / "reachability.png"
    done = CliRunner().invoke(
        app, ["--scene", "pot", "--states", "30", "--json", str(report), "--picture", str(picture)]
    )
    assert done.exit_code == 0, done.output
    rows = {row["goal"]: row for row in json.loads(report.read_text())["goals"]}
    assert set(rows) == {"lift_pot"}, "a goal whose hands take nothing has no bins"
    row = rows["lift_pot"]
    assert all(sum(row["on"][part].values()) == 30 * 2 for part in ("direction", "manipulability", "turn"))
    assert row["off"]["even"] < row["on"]["even"] <= row["bins"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_unknown_scene_is_refused_in_one_sentence():
    done = CliRunner().invoke(app, ["--scene", "attic"])
    assert done.exit_code == 2 and "scene 'attic' does not exist" in done.output
