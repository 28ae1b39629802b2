"""The measurement of exports: everything comes back, and its control does not."""

import json

from typer.testing import CliRunner

from clwm_bringup.cli import app


def test_what_is_exported_comes_back_and_another_episode_differs(tmp_path):
    file = tmp_path / "export.json"
    done = CliRunner().invoke(app, ["bench", "export", "--frames", "100", "--episodes", "2", "--json", str(file)])
    assert done.exit_code == 0, done.output
    report = json.loads(file.read_text())
    assert report["round_trip"]["differing"] == [] and report["round_trip"]["picture_levels"] < 6.0
    assert {"executed", "states", "plans", "seed"} <= set(report["control"]["differing"])
    assert report["exports"]["three cameras"]["megabytes"] > report["exports"]["no pictures"]["megabytes"]
