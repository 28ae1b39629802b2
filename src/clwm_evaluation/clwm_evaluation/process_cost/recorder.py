"""`clwm bench recorder`: what it costs to record every picture, joint state and measured state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clwm_common.process_usage import usage
from clwm_common.recordings.names import recorded_pictures
from clwm_common.recordings.reader import read_recording, recording_files
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.process_cost.cameras import DOMAIN_SHIFT
from clwm_evaluation.report import Measured, Rows, measurement

if TYPE_CHECKING:
    pass

ROBOT = "dual_fr3_mujoco"
START_TIMEOUT, WARM_UP = 120.0, 2.0  # s
PICTURES = 60.0  # a second, of three cameras
KINDS = ("rgb8, 128 x 128", "rgb8, 640 x 480", "jpeg, 640 x 480")


class RecorderBenchError(RuntimeError):
    """The recorder could not be measured; the message says why."""


@measurement(RecorderBenchError, draws=False)
def recorder(
    console: PlainConsole,
    seconds: Annotated[float, typer.Option(min=2.0, help="of each kind of camera")] = 30.0,
) -> Measured:
    """Processor time of `clwm record`: three cameras at 20 Hz, joint states and measured states at 250 Hz each.

    A machine that has other work sends fewer of them; the share of a core at full rate is told beside the measured one.
    """
    found: dict[str, dict[str, float]] = {}
    with progress(console, "recorder", len(KINDS)) as advance:
        for name in KINDS:
            found[name] = measure(name, seconds)
            advance(1, name)
    report: dict[str, Any] = {"kinds": found, "seconds": seconds}
    return Measured(report, [page_tables(report)[0].table("the recorder's process, three cameras at 20 Hz")])


def measure(name: str, seconds: float) -> dict[str, float]:
    """Of one kind of camera. Raises RecorderBenchError when the recorder does not run."""
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_evaluation.process_cost.camera_kinds import KINDS as SENT
    from clwm_evaluation.process_cost.recorder_load_node import running_recorder_load

    kind = next(it for it in SENT if it.name == name)
    domain = (int(os.environ.get("ROS_DOMAIN_ID", "0")) + DOMAIN_SHIFT) % 100
    robot = RobotDescription.load(ROBOT)
    sources = [robot.camera_source(camera) for camera in robot.cameras]
    topics = [recorded_pictures(it) if kind.is_compressed else it.topic for it in sources]
    with tempfile.TemporaryDirectory() as folder:
        words = ["record", "--whole", "--out", folder, "--keep-free", "0"]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "clwm_bringup", *words], env=environment, stdout=subprocess.DEVNULL
        )
        try:
            with running_recorder_load(kind, topics, len(robot.joint_names) + 2, domain) as node:
                deadline = time.monotonic() + START_TIMEOUT
                while not list(Path(folder).glob("*.mcap")):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RecorderBenchError("the recorder does not begin; run clwm doctor")
                    node.work(0.2)
                node.work(WARM_UP)
                before, began = _processor(process.pid), time.monotonic()
                node.work(seconds)
                share = (_processor(process.pid) - before) / (time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60.0)
        (path,) = recording_files([Path(folder)])
        return _figures(path, [recorded_pictures(it) for it in sources], share)


def _figures(path: Path, pictures: list[str], share: float) -> dict[str, float]:
    recording = read_recording(path)
    counts = recording.topics
    rate = sum(counts[topic]["rate_hz"] for topic in pictures if topic in counts)
    if not rate:
        raise RecorderBenchError("no picture reached the recorder; run clwm doctor")
    return {
        "processor_share": round(share, 4),
        "share_at_full_rate": round(share * PICTURES / rate, 4),
        "pictures_per_s": round(rate, 2),
        "joint_states_per_s": round(counts["/joint_states"]["rate_hz"], 1),
        "lost": sum(int(count["lost"]) for count in counts.values()),
        "megabytes_per_s": round(path.stat().st_size / 1e6 / recording.seconds, 3),
    }


def _processor(process_id: int) -> float:
    if (found := usage(process_id)) is None:
        raise RecorderBenchError("the recorder died while it was measured; run clwm record to see why")
    return found.processor


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """One row for each kind of camera."""
    header = ["camera", "of one core", "at 60 pictures/s", "pictures/s", "joint states/s", "MB/s", "lost"]
    rows = [
        [
            name,
            f"{row['processor_share']:.1%}",
            f"{row['share_at_full_rate']:.1%}",
            f"{row['pictures_per_s']:.1f}",
            f"{row['joint_states_per_s']:.0f}",
            f"{row['megabytes_per_s']:.2f}",
            f"{row['lost']}",
        ]
        for name, row in report["kinds"].items()
    ]
    return [Rows(header, rows)]
