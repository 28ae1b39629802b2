"""Every measurement can be called by its name, and is explained in docs/benchmarks.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_evaluation.commands import MEASUREMENTS

runner = CliRunner()
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text()


def test_help_lists_every_measurement_with_its_purpose():
    text = runner.invoke(cli.app, ["bench", "--help"], env={"COLUMNS": "160"}).output
    for name, place in MEASUREMENTS.items():
        assert name in text and place.summary in text


def test_help_imports_no_measurement_and_nothing_heavy():
    code = (
        "import sys; from clwm_bringup import cli\n"
        "try: cli.app(['bench', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'rclpy', 'mujoco', 'matplotlib', 'clwm_embodichain') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stdout[-200:] + done.stderr


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_explains_itself_and_writes_json(name):
    result = runner.invoke(cli.app, ["bench", name, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0 and "--json" in result.output, result.output


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_has_a_section_with_its_command_and_its_result_file(name):
    sections = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
    assert name in sections
    assert f"clwm bench {name} " in sections[name] and "../benchmarks/results/" in sections[name]


def test_an_unknown_measurement_is_refused_by_name():
    result = runner.invoke(cli.app, ["bench", "suprise"])
    assert result.exit_code == 2 and "suprise" in result.output
