"""`clwm bench cameras`: what cameras of every encoding cost the perception process, beside the simulated ones."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from clwm_common.files.model_files import ModelFiles, ModelFilesError
from clwm_common.process_usage import Usage, usage
from clwm_common.robot.description import RobotDescription, config_directory
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.report import Measured, ModelName, Rows, measurement, text
from clwm_evaluation.statistics import percentiles

if TYPE_CHECKING:
    from clwm_evaluation.process_cost.camera_kinds import Kind

START_TIMEOUT = 300.0  # s, on a busy machine
DOMAIN_SHIFT = 50  # the load must not reach a stack that runs on this machine
GOAL = 0.10  # of one core, more than with today's cameras
BASE, ROBOT = "dual_fr3_mujoco", "other_cameras"


class CamerasBenchError(RuntimeError):
    """Perception could not be measured; the message says why."""


@measurement(CamerasBenchError, ModelFilesError, draws=False)
def cameras(
    console: PlainConsole,
    seconds: Annotated[float, typer.Option(min=2.0, help="of each kind of camera")] = 20.0,
    model: ModelName = "nano",
) -> Measured:
    """Processor time of the perception process alone, three cameras at 20 Hz, and a chunk asked for every 0.6 s; and
    how old its pictures are when the features of all three have come.

    One kind of camera after the other; today's first and last, so that a drift of the machine shows.
    """
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_evaluation.process_cost.camera_kinds import KINDS, TODAY

    shares: dict[str, list[float]] = {kind.name: [] for kind in KINDS}
    ages: dict[str, list[float]] = {kind.name: [] for kind in KINDS}
    with progress(console, "cameras", len(KINDS) + 1) as advance:
        for kind in (*KINDS, TODAY):
            share, found = measure(kind, seconds, model)
            shares[kind.name].append(share)
            ages[kind.name] += found
            advance(1, kind.name)
    report = summarise(shares, ages) | {"seconds": seconds}
    title = f"the perception process, three cameras at 20 Hz; goal: at most {GOAL:.0%} of a core more than the first"
    return Measured(report | {"model": model}, [page_tables(report)[0].table(title)])


def measure(kind: Kind, seconds: float, model: str) -> tuple[float, list[float]]:
    """Share of a core that perception uses, and s from capture to each frame.

    Raises CamerasBenchError when it cannot be measured.
    """
    from clwm_evaluation.process_cost.cameras_load_node import running_load_node

    domain = (int(os.environ.get("ROS_DOMAIN_ID", "0")) + DOMAIN_SHIFT) % 100
    with _robot_with(kind) as config:
        robot = RobotDescription.from_yaml(config / "robots" / f"{ROBOT}.yaml")
        topics = [robot.camera_source(camera).topic for camera in robot.cameras]
        given = {"robot": ROBOT, "encoder": str(ModelFiles.load(model).encoder)}
        parameters = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "clwm_perception.node", "--ros-args", *parameters]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "CLWM_CONFIG": str(config), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with running_load_node(kind, topics, domain) as node:
                deadline = time.monotonic() + START_TIMEOUT
                while len(node.ages) < 2:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise CamerasBenchError(f"perception answers nothing with {kind.name}; run clwm doctor")
                    node.work(0.5)
                before, frames, began = _require(usage(process.pid)), len(node.ages), time.monotonic()
                node.work(seconds)
                share = (_require(usage(process.pid)).processor - before.processor) / (time.monotonic() - began)
                if len(node.ages) == frames:
                    raise CamerasBenchError(f"perception has stopped answering with {kind.name}; run clwm doctor")
                return share, node.ages[frames:]
        finally:
            process.kill()  # it holds nothing that a tidy end would save
            process.wait()


@contextlib.contextmanager
def _robot_with(kind: Kind) -> Iterator[Path]:
    """A config folder with a robot that has such cameras."""
    source = {"transport": "compressed" if kind.is_compressed else "raw", "crop": "centre", "resize": "scale"}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(copytree(config_directory(), Path(folder) / "config"))
        sources = dict.fromkeys(RobotDescription.load(BASE).cameras, source)
        described = {"extends": BASE, "name": ROBOT, "driver": "external", "camera_sources": sources}
        (config / "robots" / f"{ROBOT}.yaml").write_text(yaml.safe_dump(described))
        yield config


def _require(found: Usage | None) -> Usage:
    if found is None:
        raise CamerasBenchError("perception's process died while it was measured; clwm up shows its log")
    return found


def summarise(shares: dict[str, list[float]], ages: dict[str, list[float]]) -> dict[str, Any]:
    """The report. shares: of a core, ages: of frames in s, by kind of camera, today's first."""
    means = {name: sum(each) / len(each) for name, each in shares.items()}
    today = next(iter(means.values()))
    kinds = {
        name: {
            "processor_share": round(mean, 4),
            "more_than_today": round(mean - today, 4),
            "of_each_time": [round(one, 4) for one in shares[name]],
            "meets_goal": mean - today <= GOAL,
            "frame_ms": percentiles(1e3 * age for age in ages[name]),
        }
        for name, mean in means.items()
    }
    return {"kinds": kinds, "goal": GOAL}


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row for each kind of camera."""
    header = ["camera", "of one core", "more than today's", "each time", "frame after, median ms", "95 % ms"]
    rows = [
        [
            name,
            f"{row['processor_share']:.1%}",
            f"{row['more_than_today']:+.1%}",
            ", ".join(f"{one:.1%}" for one in row["of_each_time"]),
            text(row["frame_ms"]["p50"], "{:.1f}"),
            text(row["frame_ms"]["p95"], "{:.1f}"),
        ]
        for name, row in report["kinds"].items()
    ]
    return [Rows(header, rows)]
