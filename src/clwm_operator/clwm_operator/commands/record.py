"""`clwm record`: every episode of the running stack, each in a file of its own."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.live import Live
from rich.table import Column, Table

from clwm_common.files.model_files import ModelFiles
from clwm_common.process_usage import keep_freed_memory
from clwm_common.provenance import commit
from clwm_common.recordings.names import POLICY_FILE, ROBOT_FILE
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole

if TYPE_CHECKING:
    from clwm_common.ros.session import RosSession
    from clwm_operator.recorder.counts import TopicCount
    from clwm_operator.recorder.episode_recorder import Attached, EpisodeRecorder, Recording

DISCOVERY = 1.0  # s in which the topics of others become known
_LOOK_EVERY = 0.5  # s between two progress lines


def record(
    out: Annotated[Path, typer.Option(help="folder of recordings")] = Path("out/recordings"),
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = "dual_fr3_mujoco",
    model: Annotated[str, typer.Option(help="name of a file in config/models, whose facts are kept")] = "nano",
    quality: Annotated[int, typer.Option(min=1, max=100, help="of the pictures' JPEG")] = 90,
    whole: Annotated[
        bool, typer.Option("--whole", help="one recording from now until Ctrl-C, with or without a task")
    ] = False,
    episodes: Annotated[int, typer.Option(min=0, help="end after so many; 0: with Ctrl-C")] = 0,
    seconds: Annotated[float, typer.Option(min=0.0, help="end after so long; 0: with Ctrl-C")] = 0.0,
    topic: Annotated[list[str] | None, typer.Option(help="another topic to record; may be given again")] = None,
    keep_free: Annotated[float, typer.Option(min=0.0, help="GB of the disk to be left; ends before that")] = 2.0,
) -> None:
    """Record the running stack: one MCAP file for each task that is given, which rosbag2 and Foxglove read.

    A recording begins with a task and ends with it, or 2 s after its verdict. It can be read at every moment, also when
    the recorder is killed. Ends with 2 when it cannot write any more.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    description = RobotDescription.load(robot)
    files = ModelFiles.load(model)
    # Here, since rclpy takes a second to import and --help must not wait for it.
    import cv2

    from clwm_common.ros.executor import StaticSingleThreadedExecutor
    from clwm_common.ros.session import RosSession
    from clwm_operator.recorder.episode_recorder import Attached, EpisodeRecorder, RecorderError
    from clwm_operator.recorder.recorder_node import RecorderNode, given_topics, recorded_topics

    cv2.setNumThreads(1)
    keep_freed_memory()
    is_asked_to_stop = False

    def on_signal(*_: object) -> None:
        nonlocal is_asked_to_stop
        is_asked_to_stop = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, on_signal)
    attached = (
        # With what it extends.
        Attached(ROBOT_FILE, "application/yaml", yaml.safe_dump(description.model_dump(mode="json")).encode()),
        *_policy_document(files, Attached),
    )
    facts = {
        "robot": robot,
        "model": model,
        "cameras": ",".join(description.cameras),
        "jpeg_quality": str(quality),
        "commit": commit(),
    }
    until = time.monotonic() + seconds if seconds else float("inf")
    with RosSession(StaticSingleThreadedExecutor) as session:
        others = _others(session, topic or [], console)
        given = given_topics(description, others)
        recorder = None
        try:
            recorder = EpisodeRecorder(
                out,
                recorded_topics(given),
                facts,
                attached,
                keep_free=round(keep_free * 1e9),
                free_bytes=lambda: shutil.disk_usage(out).free,
                is_whole=whole,
            )
            node = session.add(RecorderNode(recorder, given, quality, console.print))
            report = _Report(console, recorder, out)
            console.print(f"recording to {out}: " + ("from now on" if whole else "every task that is given"))
            with Live(console=console, auto_refresh=False, transient=True) as live:
                while not (is_asked_to_stop or time.monotonic() >= until or 0 < episodes <= len(recorder.done)):
                    session.spin_once(timeout_sec=0.2)
                    report.look(live)
            node.stop()
        except RecorderError as error:
            console.error(error)
            raise typer.Exit(2) from None
        finally:
            if recorder is not None:
                report.close()


def _policy_document(files: ModelFiles, attached: type[Attached]) -> tuple[Attached, ...]:
    """What the policy was trained on, where the model is there."""
    path = files.policy.with_suffix(".json")
    return (attached(POLICY_FILE, "application/json", path.read_bytes()),) if path.is_file() else ()


def _others(session: RosSession, topics: list[str], console: PlainConsole) -> list[tuple[str, str]]:
    """(topic, type) of those that somebody publishes; the rest is named, and left out."""
    from clwm_operator.recorder.recorder_node import GraphLook

    if not topics:
        return []
    look = session.add(GraphLook())
    until = time.monotonic() + DISCOVERY
    while time.monotonic() < until:
        session.spin_once(timeout_sec=0.1)
    known = look.types()
    for name in topics:
        if name not in known:
            console.marked("note:", "yellow", f"nobody publishes {name}; start its node first to have it recorded")
    return [(name, known[name]) for name in topics if name in known]


class _Report:
    """What the terminal shows: a line that moves, a line for each recording, a table at the end."""

    def __init__(self, console: PlainConsole, recorder: EpisodeRecorder, out: Path) -> None:
        self._console, self._recorder, self._out = console, recorder, out
        self._told = 0
        self._looked_at = 0.0

    def look(self, live: Live) -> None:
        self._tell()
        now = time.monotonic()
        if self._console.is_terminal and now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            live.update(self._line(), refresh=True)

    def close(self) -> None:
        """The end: what came, how often, with which gaps, and what was lost."""
        self._tell()
        if not (done := self._recorder.done):
            self._console.print("nothing was recorded: no task was given")
            return
        table = Table(Column("topic", overflow="fold"), "messages", "Hz", "longest gap [s]", "lost", box=None)
        for name in sorted({name for recording in done for name in recording.counts}):
            counts = [recording.counts[name] for recording in done if name in recording.counts]
            table.add_row(name, *_columns(counts))
        self._console.print(table)
        self._console.print(f"{len(done)} recordings in {self._out}; label them by clwm label, see clwm recordings")

    def _tell(self) -> None:
        for recording in self._recorder.done[self._told :]:
            self._console.print(_sentence(recording))
        self._told = len(self._recorder.done)

    def _line(self) -> str:
        recording = self._recorder.current
        if recording is None:
            return "waiting for a task"
        seconds, size = recording.seconds, recording.file.size / 1e6
        return f"“{recording.task.instruction}”: {seconds:.1f} s, {recording.file.messages} messages, {size:.1f} MB"


def _sentence(recording: Recording) -> str:
    verdict = recording.verdict_word or "nobody judged it"
    lost = sum(count.lost for count in recording.counts.values())
    size = recording.file.path.stat().st_size / 1e6
    human = f", {len(recording.interventions)} interventions" if recording.interventions else ""
    return (
        f"{recording.file.path.name}: {recording.seconds:.1f} s, {verdict}{human}, {size:.1f} MB, {lost} messages "
        f"lost ({recording.reason})"
    )


def _columns(counts: list[TopicCount]) -> list[str]:
    rates = [count.rate for count in counts if count.messages > 1]
    return [
        str(sum(count.messages for count in counts)),
        f"{sum(rates) / len(rates):.1f}" if rates else "",
        f"{max(count.longest_gap for count in counts) * 1e-9:.2f}",
        str(sum(count.lost for count in counts)),
    ]
