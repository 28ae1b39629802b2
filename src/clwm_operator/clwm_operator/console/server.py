"""The console's addresses: the page, the live connection, and orders as plain requests that work without it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from clwm_common.messages import MemoryPolicy, Mode
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_operator.console import live
from clwm_operator.console.access import Access, Sessions
from clwm_operator.console.console_node import MemoryAct
from clwm_operator.console.desk import Answer, Desk
from clwm_operator.console.guard import Guard

STATIC = Path(__file__).parent / "static"
LARGEST_BODY = 4096  # bytes
_LARGEST_READ = 4 * 1024**2  # bytes that are read and forgotten, so that the answer is heard
Body = TypeVar("Body", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Strict):
    """An order without details."""


class Token(_Strict):
    token: str = Field(max_length=256)


class Words(_Strict):
    """A task. memory: what happens to the policy's. insist: on words unlike all that it was trained with.

    accept_estimate: where nobody else judges it, the policy's own estimate of success may end it.
    """

    instruction: str
    goal: str = ""
    memory: str = Field(default="RESET", pattern="^(KEEP|RESET|RESTORE)$")
    seed: int = Field(default=0, ge=0, lt=2**63)
    insist: bool = False
    accept_estimate: bool = False


class Ended(_Strict):
    """What an operator says of the present task."""

    is_done: bool


class World(_Strict):
    task: str = Field(max_length=64)
    seed: int = Field(default=0, ge=0, lt=2**63)


class ChargeOrder(_Strict):
    take: bool


class Said(_Strict):
    """What the last correction was."""

    label: str = Field(pattern="^(NONE|DISCARDED|RECOVERY)$")


class Recorded(_Strict):
    """Whether every task is to be recorded."""

    is_wanted: bool


class MemoryName(_Strict):
    name: str = Field(max_length=40)


class BadRequest(ValueError):
    """A request that is not one of these; `status` is of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(desk: Desk, access: Access, port: int) -> ASGIApp:
    """The ASGI application of one console."""
    sessions = Sessions()

    def order(path: str, kind: type[Body], act: Callable[[str, Body], Awaitable[Answer]]) -> Route:
        async def handle(request: Request) -> Response:
            try:
                body = await read_body(request, kind)
            except BadRequest as error:
                return JSONResponse({"message": str(error)}, error.status)
            answer = await act(request.headers.get("x-page", ""), body)
            return JSONResponse({"message": answer.message}, answer.status)

        return Route(path, handle, methods=["POST"])

    async def charge(key: str, body: ChargeOrder) -> Answer:
        return desk.change_charge(key, body.take)

    async def login(request: Request) -> Response:
        try:
            body = await read_body(request, Token)
        except BadRequest as error:
            return JSONResponse({"message": str(error)}, error.status)
        role = access.role_of(body.token)
        if role is None:
            return JSONResponse({"message": "this is no token of this console"}, 401)
        response = JSONResponse({"role": role.name})
        key = sessions.open(time.monotonic(), role)
        response.set_cookie(guard.cookie, key, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    async def logout(request: Request) -> Response:
        sessions.close(request.scope["clwm.session"])
        response = JSONResponse({"message": "logged out"})
        response.delete_cookie(guard.cookie, httponly=True, samesite="strict")
        return response

    async def me(request: Request) -> Response:
        role = request.scope["clwm.role"]
        return JSONResponse({"role": None if role is None else role.name, "is_open": access.is_open})

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def connect(socket: WebSocket) -> None:
        await live.serve(socket, desk)

    guard = Guard(
        Starlette(
            routes=[
                Route("/", page),
                Route("/me", me),
                Route("/login", login, methods=["POST"]),
                Route("/logout", logout, methods=["POST"]),
                order("/hold", Nothing, lambda key, _: desk.stop(desk.name_of(key), Mode.HOLD)),
                order("/estop", Nothing, lambda key, _: desk.stop(desk.name_of(key), Mode.ESTOP)),
                order("/policy", Nothing, lambda key, _: desk.resume(key)),
                order("/take_over", Nothing, lambda key, _: desk.take_over(key)),
                order("/give_up", Nothing, lambda key, _: desk.let_be(key)),
                order(
                    "/task",
                    Words,
                    lambda key, it: desk.task(
                        key, it.instruction, it.goal, MemoryPolicy[it.memory], it.seed, it.insist, it.accept_estimate
                    ),
                ),
                order("/verdict", Ended, lambda key, it: desk.end_task(key, it.is_done)),
                order("/ask", Words, lambda key, it: desk.ask(it.instruction, MemoryPolicy[it.memory])),
                order("/world", World, lambda key, it: desk.reset_world(key, it.task, it.seed)),
                order("/correction", Said, lambda key, it: desk.label_correction(key, CorrectionLabel[it.label])),
                order("/memory/save", MemoryName, lambda key, it: desk.remember(key, MemoryAct.SAVE, it.name)),
                order("/memory/restore", MemoryName, lambda key, it: desk.remember(key, MemoryAct.RESTORE, it.name)),
                order("/record", Recorded, lambda key, it: desk.record(key, it.is_wanted)),
                order("/charge", ChargeOrder, charge),
                WebSocketRoute("/live", connect),
                Mount("/static", StaticFiles(directory=STATIC)),
            ]
        ),
        access,
        sessions,
        port,
    )
    return guard


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The JSON of a request; none counts as `{}`. Raises BadRequest."""
    body, read = b"", 0
    async for part in request.stream():
        read += len(part)
        body = body + part if read <= LARGEST_BODY else b""
        if read > _LARGEST_READ:
            break
    if read > LARGEST_BODY:
        raise BadRequest(413, f"the request has more than {LARGEST_BODY} bytes")
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise BadRequest(400, _first(error)) from None


def _first(error: ValidationError) -> str:
    first: dict[str, Any] = dict(error.errors()[0])
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
