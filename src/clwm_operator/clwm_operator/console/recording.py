"""`clwm record` as a process of the console's, begun and ended from a page."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Sequence

from clwm_bringup import tied_process

PATIENCE = 10.0  # s that it has to close its file
RECORD = (sys.executable, "-u", "-m", "clwm_bringup", "record")


class RecordingProcess:
    """One at most; all methods on the event loop's thread, which is the main one. said: its last line."""

    def __init__(self, program: Sequence[str], say: Callable[[str], None]) -> None:
        """say: takes each line of it."""
        self.said = ""
        self._program, self._say = list(program), say
        self._process: Process | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Nothing when it runs already."""
        if self.is_on:
            return
        self.said = "starting"
        # Should the console be killed outright, the recorder ends too; a terminal's Ctrl-C is the console's alone.
        program = tied_process.command(self._program)
        self._process = await asyncio.create_subprocess_exec(
            *program, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
        )
        self._listening = asyncio.create_task(self._listen(self._process))

    async def stop(self) -> None:
        """End it as Ctrl-C does; its file is whole then. One that does not end is killed."""
        if self._process is None or self._listening is None:
            return
        process, listening = self._process, self._listening
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
        await listening

    async def _listen(self, process: Process) -> None:
        async for line in process.stdout:
            if text := line.decode(errors="replace").strip():
                self.said = text
                self._say(text)
        code = await process.wait()
        if code:
            self._say(f"the recorder ended with code {code}")
