"""What every request passes before anything is done for it: where it comes from, who makes it, how often."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clwm_operator.console.access import Access, Role, Sessions
from clwm_operator.console.buckets import Buckets

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
STOPS = ("/hold", "/estop")


@dataclass
class Guard:
    """An ASGI application around another one. port: names the cookie, as browsers keep them by host alone.

    Orders may come 10 times a second, 20 at once, from each session or address; live connections as often, counted
    apart, so that whoever ordered too much still sees; stops, which are joined while one is under way, 50 times; tokens
    once in 5 s, 5 at once.
    """

    app: ASGIApp
    access: Access
    sessions: Sessions
    port: int
    orders: Buckets = field(default_factory=lambda: Buckets(10.0, 20.0))
    connections: Buckets = field(default_factory=lambda: Buckets(10.0, 20.0))
    stops: Buckets = field(default_factory=lambda: Buckets(50.0, 50.0))
    logins: Buckets = field(default_factory=lambda: Buckets(0.2, 5.0))

    @property
    def cookie(self) -> str:
        return f"clwm_console_{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        status, problem, wait = self._look(scope)
        if not problem:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4000 + status, "reason": problem[:100]})
        else:
            response = JSONResponse({"message": problem}, status, {"retry-after": f"{wait:.0f}"} if wait else None)
            await response(scope, receive, _with_headers(send))

    def _look(self, scope: Scope) -> tuple[int, str, float]:
        """Status, problem and s to wait; no problem: the request may pass, and the scope says who makes it."""
        headers, is_order = Headers(scope=scope), scope["type"] == "websocket" or scope["method"] == "POST"
        if problem := self.access.host_problem(headers.get("host", "")):
            return 403, problem, 0.0
        if is_order and (problem := self.access.origin_problem(headers.get("origin", ""), headers.get("host", ""))):
            return 403, problem, 0.0
        key, address = HTTPConnection(scope).cookies.get(self.cookie, ""), (scope.get("client") or ("",))[0]
        role = Role.OPERATOR if self.access.is_open else self._role(headers, key)
        scope["clwm.role"], scope["clwm.session"] = role, key
        path = scope["path"]
        if not is_order:
            return 200, "", 0.0
        buckets = self._buckets(scope)
        if wait := buckets.wait(
            time.monotonic(), address if buckets is self.logins or role is None else key or address
        ):
            return 429, f"too many requests; ask again in {wait:.1f} s", max(1.0, wait)
        if path in ("/login", "/logout"):
            return 200, "", 0.0
        if role is None:
            return 401, "show a token first", 0.0
        if role is not Role.OPERATOR and scope["type"] == "http":
            return 403, "a viewer orders nothing; log in with the operator's token", 0.0
        return 200, "", 0.0

    def _buckets(self, scope: Scope) -> Buckets:
        if scope["type"] == "websocket":
            return self.connections
        return self.stops if scope["path"] in STOPS else self.logins if scope["path"] == "/login" else self.orders

    def _role(self, headers: Headers, key: str) -> Role | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        by_token = self.access.role_of(token) if scheme.lower() == "bearer" else None
        return by_token if by_token is not None else self.sessions.role_of(time.monotonic(), key)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
