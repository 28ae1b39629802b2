"""`clwm reproduce`: which steps run, which are done already, and what is said of those that fail."""

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.reproduce.command import run_steps
from clwm_evaluation.reproduce.pipeline import PipelineError, Record, Step
from clwm_evaluation.reproduce.steps import Budget, steps_of

CONSOLE = PlainConsole()


def step(name, code, outputs, inputs=(), minutes=60.0, **others):
    return Step(name, name, (sys.executable, "-c", code), tuple(outputs), minutes, tuple(inputs), **others)


@pytest.fixture
def steps(tmp_path):
    """Two steps that count how often they run; the second reads what the first has made of a file."""
    one, two, source = tmp_path / "one", tmp_path / "two", tmp_path / "source"
    source.write_text("a")

    def copying(start, end):
        return (
            f"from pathlib import Path; Path(r'{end}').write_text(Path(r'{start}').read_text());"
            f"open(r'{end}.ran', 'a').write('x')"
        )

    return [
        step("first", copying(source, one), [one], [source]),
        step("second", copying(one, two), [two], [one], minutes=30.0),
    ]


def states(record, steps):
    return [planned.state for planned in record.plan(steps)]


def ran(tmp_path):
    return [len((tmp_path / f"{name}.ran").read_text()) for name in ("one", "two")]


def test_steps_run_once_and_not_again_while_nothing_changes(steps, tmp_path):
    record = Record(tmp_path / "steps.json")
    assert states(record, steps) == ["to do", "to do"]
    run_steps(steps, record, CONSOLE)
    run_steps(steps, Record(tmp_path / "steps.json"), CONSOLE)
    assert ran(tmp_path) == [1, 1] and states(Record(tmp_path / "steps.json"), steps) == ["done", "done"]


def test_a_changed_input_runs_its_step_and_what_follows_once_more(steps, tmp_path):
    record = Record(tmp_path / "steps.json")
    run_steps(steps, record, CONSOLE)
    (tmp_path / "source").write_text("b")
    assert states(record, steps) == ["again", "again"]
    run_steps(steps, record, CONSOLE)
    assert ran(tmp_path) == [2, 2] and (tmp_path / "two").read_text() == "b"


def test_an_input_that_comes_out_as_it_was_leaves_what_follows_alone(steps, tmp_path):
    record = Record(tmp_path / "steps.json")
    run_steps(steps, record, CONSOLE)
    (tmp_path / "one").unlink()
    run_steps(steps, record, CONSOLE)
    assert ran(tmp_path) == [2, 1]


def test_an_output_that_was_changed_and_another_command_are_reasons_to_run_again(steps, tmp_path):
    record = Record(tmp_path / "steps.json")
    run_steps(steps, record, CONSOLE)
    (tmp_path / "two").write_text("by hand")
    assert states(record, steps) == ["done", "again"]
    other = Step("first", "first", (*steps[0].command, "--longer"), steps[0].outputs, 60.0, steps[0].inputs)
    assert states(record, [other, steps[1]]) == ["again", "again"]


def test_a_step_that_fails_is_named_with_its_command_and_what_follows_does_not_run(steps, tmp_path):
    failing = step("first", "raise SystemExit(3)", [tmp_path / "one"])
    with pytest.raises(PipelineError, match=r"step 'first' ended with 3: .*raise SystemExit"):
        run_steps([failing, steps[1]], Record(tmp_path / "steps.json"), CONSOLE)
    assert not (tmp_path / "two").exists() and states(Record(tmp_path / "steps.json"), [failing]) == ["begun"]


def test_a_step_without_what_it_was_to_leave_is_not_done(tmp_path):
    silent = step("first", "", [tmp_path / "one"])
    with pytest.raises(PipelineError, match=r"step 'first' has ended and left no .*one"):
        run_steps([silent], Record(tmp_path / "steps.json"), CONSOLE)


def test_an_interrupted_step_goes_on_and_its_time_is_counted(tmp_path):
    stopping = step("first", "raise SystemExit(130)", [tmp_path / "one"], minutes=10.0)
    record = Record(tmp_path / "steps.json")
    with pytest.raises(typer.Exit) as ended:
        run_steps([stopping], record, CONSOLE)
    assert ended.value.exit_code == 130
    record.add(stopping, 240.0, is_ended=False)
    (planned,) = Record(tmp_path / "steps.json").plan([stopping])
    assert planned.state == "begun" and 5.0 < planned.minutes < 6.1


def test_a_step_begins_once_what_runs_beside_it_has_made_enough_and_ends_that(tmp_path):
    making = "import time; from pathlib import Path; Path('{0}').mkdir(); Path('{0}/a.npz').touch(); time.sleep(600)"
    beside = (sys.executable, "-c", making.format(tmp_path / "made"))
    asking = f"from pathlib import Path; assert Path('{tmp_path}/made/a.npz').exists(); Path('{tmp_path}/one').touch()"
    run_steps(
        [step("first", asking, [tmp_path / "one"], beside=beside, awaits=(tmp_path / "made", 1))],
        Record(tmp_path / "steps.json"),
        CONSOLE,
    )
    assert (tmp_path / "one").exists()
    broken = step("second", "", [], beside=(sys.executable, "-c", ""), awaits=(tmp_path / "none", 1))
    with pytest.raises(PipelineError, match="what fills .*none ended with 0"):
        run_steps([broken], Record(tmp_path / "steps.json"), CONSOLE)


def test_a_record_that_is_none_is_refused(tmp_path):
    (tmp_path / "steps.json").write_text("[1]")
    with pytest.raises(PipelineError, match="delete it to run all steps again"):
        Record(tmp_path / "steps.json")


def test_every_step_of_a_model_reads_only_what_an_earlier_one_leaves():
    steps, there = steps_of(Path("out"), Budget(), 2), set()
    for each in steps:
        assert set(each.inputs) <= there, each.name
        there.update(each.outputs)
    assert len({each.name for each in steps}) == len(steps)


def test_the_commands_of_a_model_have_the_options_that_they_are_given():
    runner = CliRunner()
    for each in steps_of(Path("out"), Budget(), 2):
        if "clwm_bringup" not in each.command:
            continue
        arguments = each.command[each.command.index("clwm_bringup") + 1 :]
        words = arguments[: next(i for i, word in enumerate(arguments) if word.startswith("--"))]
        help_text = runner.invoke(cli.app, [*words, "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in arguments if word.startswith("--")):
            assert option in help_text, (each.name, option)


def test_a_dry_run_shows_every_step_with_its_time_and_runs_nothing(tmp_path):
    shown = CliRunner().invoke(
        cli.app,
        ["reproduce", "nano", "--dry-run", "--policy-minutes", "60", "--out", str(tmp_path / "made")],
        env={"COLUMNS": "160"},
    )
    assert shown.exit_code == 0, shown.output
    for each in steps_of(Path("out"), Budget(), 2):
        assert each.what in shown.output
    assert "1 h 39 min" in shown.output and "to go, on two cores" in shown.output
    assert not (tmp_path / "made").exists()


def test_a_model_or_a_step_that_does_not_exist_is_refused():
    for arguments in (["wan5b"], ["nano", "--only", "dance"]):
        said = CliRunner().invoke(cli.app, ["reproduce", *arguments, "--dry-run"], env={"COLUMNS": "160"})
        assert said.exit_code == 2 and "expected one of" in said.output
