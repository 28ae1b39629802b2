"""A console from start to end: ROS on one thread, the web on the other."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import cv2
import uvicorn

from clwm_common.messages import ChunkTimeline
from clwm_common.process_usage import keep_freed_memory
from clwm_common.robot.description import RobotDescription
from clwm_common.ros.session import RosThread
from clwm_operator.console.access import Access
from clwm_operator.console.console_node import ConsoleNode
from clwm_operator.console.desk import Desk
from clwm_operator.console.facts import facts_of
from clwm_operator.console.live import LARGEST_WORD
from clwm_operator.console.page_state import chunk_story
from clwm_operator.console.recording import RECORD, RecordingProcess
from clwm_operator.console.server import application
from clwm_operator.teleop.jog import Jog
from clwm_operator.teleop.steering import Steering

CONNECTIONS = 64


async def serve(
    robot: RobotDescription,
    model: str,
    access: Access,
    listening: socket.socket,
    say: Callable[[str], None],
    is_simulated_time: bool = False,
) -> None:
    """Serve pages on the bound socket `listening` until SIGINT, SIGTERM or SIGHUP. Raises what ends ROS.

    is_simulated_time: the stack lives by /clock.
    """
    cv2.setNumThreads(1)
    keep_freed_memory()
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    facts, jog = facts_of(robot, model), Jog(robot)

    def on_end(error: Exception) -> None:
        loop.call_soon_threadsafe(failed.set_exception, error)

    with RosThread(on_end) as ros:

        def on_picture(camera: str) -> None:
            loop.call_soon_threadsafe(desk.on_picture, camera)

        def on_chunk(timeline: ChunkTimeline) -> None:
            loop.call_soon_threadsafe(desk.on_chunk, chunk_story(timeline))

        def on_path(story: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(desk.on_path, story)

        node = ConsoleNode(robot, on_picture, on_chunk, on_path, is_simulated_time)
        recorder = RecordingProcess([*RECORD, "--robot", robot.name, "--model", model], say)

        def watch(is_watched: bool) -> Future[None]:
            return ros.run(lambda: node.watch(is_watched))

        desk = Desk(node, watch, Steering(jog), facts, recorder, say)
        ros.add(node)
        config = uvicorn.Config(
            application(desk, access, listening.getsockname()[1]),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=LARGEST_WORD,
            ws_per_message_deflate=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                loop.add_signal_handler(number, server.end)
        telling = asyncio.create_task(desk.run())
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await asyncio.wait({telling, serving, failed}, return_when=asyncio.FIRST_COMPLETED)
        server.end()
        await serving
        await recorder.stop()
        telling.cancel()
        for done in (telling, failed):
            if done.done() and not done.cancelled():
                done.result()


class _Server(uvicorn.Server):
    """Signals are for whoever started it."""

    def end(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield
