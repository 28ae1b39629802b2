"""The live connection of one page: states, chunks and pictures go out, the hand's words come in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from clwm_operator.console.access import Role
from clwm_operator.console.buckets import Buckets
from clwm_operator.console.desk import Desk
from clwm_operator.teleop.jog import Hand

MOST_PAGES = 16
LARGEST_WORD = 2048  # bytes
_WORDS = 100.0  # a second that a page may send; it sends 20 of its hand, and one for every picture
_HELLO_WITHIN = 5.0  # s
_BACKLOG = 200  # messages that a page may be behind before it is given up


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Strict):
    """The first word. key: drawn by the page, and known to it alone."""

    kind: Literal["hello"]
    key: str = Field(pattern=r"^[0-9a-f]{32}$")
    name: str = Field(default="", max_length=32)


class Got(_Strict):
    """A picture has been shown; the camera's next one may come."""

    kind: Literal["got"]
    camera: int = Field(ge=0)


class Seen(_Strict):
    """The newest state has been shown; the next one may come."""

    kind: Literal["seen"]


class HandWord(Hand):
    kind: Literal["hand"]


_WORD: TypeAdapter[Got | Seen | HandWord] = TypeAdapter(Annotated[Got | Seen | HandWord, Field(discriminator="kind")])


class LivePage:
    """Sends no faster than the page shows: of states and of each camera's pictures the newest, one at a time.

    So what a slow page shows is never older than what it says.
    """

    def __init__(self, socket: WebSocket, desk: Desk) -> None:
        self._socket, self._desk = socket, desk
        self._cameras = desk.facts.cameras
        self._texts: deque[str] = deque()
        self._state = ""
        self._sent = dict.fromkeys(self._cameras, 0)
        self._under_way: set[str] = set()
        self._is_state_under_way = False
        self._wake = asyncio.Event()

    def tell(self, kind: str, text: str) -> None:
        if kind == "state":
            self._state = text
        else:
            self._texts.append(text)
        self._wake.set()

    def show(self, camera: str) -> None:
        self._wake.set()

    def got(self, camera: int) -> None:
        """The page has shown the picture of this camera."""
        if camera < len(self._cameras):
            self._under_way.discard(self._cameras[camera])
            self._wake.set()

    def seen(self) -> None:
        """The page has shown the newest state."""
        self._is_state_under_way = False
        self._wake.set()

    async def send(self) -> None:
        """Until the connection ends."""
        while len(self._texts) < _BACKLOG:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await self._socket.send_text(self._texts.popleft())
            if self._state and not self._is_state_under_way:
                state, self._state, self._is_state_under_way = self._state, "", True
                await self._socket.send_text(state)
            for index, camera in enumerate(self._cameras):
                picture = self._desk.node.pictures.get(camera)
                if picture is None or camera in self._under_way or picture.number == self._sent[camera]:
                    continue
                self._sent[camera] = picture.number
                if picture.jpeg:
                    self._under_way.add(camera)
                    await self._socket.send_bytes(bytes([index]) + picture.jpeg)


async def serve(socket: WebSocket, desk: Desk) -> None:
    """One page, from its first word to its last."""
    role: Role = socket.scope["clwm.role"]
    await socket.accept()
    if len(desk.charge.seats) >= MOST_PAGES:
        await socket.close(1013, f"{MOST_PAGES} pages are open; close one")
        return
    try:
        hello = Hello.model_validate_json(await asyncio.wait_for(socket.receive_text(), _HELLO_WITHIN))
    except (ValidationError, asyncio.TimeoutError, KeyError):
        await socket.close(1008, "the first word must be a hello")
        return
    except WebSocketDisconnect:
        return
    page = LivePage(socket, desk)
    seat = desk.come(page, hello.key, hello.name.strip() or role.name.lower(), role)
    sender = asyncio.create_task(page.send())
    listener = asyncio.create_task(_listen(socket, page, desk, seat))
    try:
        await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        desk.go(page, seat)
        sender.cancel()
        listener.cancel()
        with contextlib.suppress(Exception):  # whatever ended one of them has ended the connection
            await asyncio.gather(sender, listener, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()


async def _listen(socket: WebSocket, page: LivePage, desk: Desk, seat: object) -> None:
    words = Buckets(_WORDS, _WORDS)
    while True:
        try:
            text = await socket.receive_text()
            if words.wait(time.monotonic(), "page"):
                await socket.close(1008, "too many words")
                return
            word = _WORD.validate_json(text)
        except (ValidationError, KeyError):
            await socket.close(1008, "not a word that is known here")
            return
        except WebSocketDisconnect:
            return
        match word:
            case Got(camera=camera):
                page.got(camera)
            case Seen():
                page.seen()
            case HandWord():
                desk.on_hand(seat, word)
