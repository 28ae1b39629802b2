"""Who is let in, and as what: tokens, sessions, and where a request may come from. No clock, no network."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import urlsplit

SHORTEST_TOKEN = 16  # characters that a given token has at least
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_LIFETIME = 12 * 3600.0  # s that a session lasts
_SESSIONS = 64


class AccessError(ValueError):
    """Access that cannot be set up as asked; the message says why, and what to give instead."""


class Role(IntEnum):
    """What somebody may do: a viewer looks, an operator also orders."""

    VIEWER = 0
    OPERATOR = 1


@dataclass(frozen=True)
class Access:
    """The rules of one console. names: further names that the page may be asked for by.

    Without tokens whoever reaches the address is an operator, which `access_for` allows for this machine alone.
    """

    address: str
    names: frozenset[str] = frozenset()
    operator_token: str = ""
    viewer_token: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked for a token."""
        return not self.operator_token

    def role_of(self, token: str) -> Role | None:
        """What a token makes of who shows it; None for a wrong one."""
        # Both are compared whatever the first gives, so that the time taken tells nothing.
        found = [(role, _is_same(token, own)) for role, own in self._tokens()]
        return next((role for role, is_it in found if is_it), None)

    def host_problem(self, host: str) -> str:
        """Why a request for this host (the header, with its port) is refused; empty when it is not.

        A page of another name that resolves to this address is somebody else's: its scripts must not reach the arms.
        """
        name = _name_of(host)
        if name in _LOCAL_NAMES | self.names | {self.address.lower()} or (
            self.address not in _LOCAL_NAMES and _is_ip(name)
        ):
            return ""
        return f"host '{host[:80]}' is not a name of this console; use its address, or start it with --name {name[:80]}"

    def origin_problem(self, origin: str, host: str) -> str:
        """Why a request that a page of `origin` makes is refused; empty when it is of this console, or of no page."""
        parts = urlsplit(origin)
        if not origin or (parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()):
            return ""
        return f"a page of origin '{origin[:80]}' may order nothing here; open the console's own page"

    def _tokens(self) -> list[tuple[Role, str]]:
        return [(Role.OPERATOR, self.operator_token), (Role.VIEWER, self.viewer_token)]


def access_for(
    address: str,
    names: tuple[str, ...] = (),
    operator_token: str = "",
    viewer_token: str = "",
    wanted: bool = False,
) -> Access:
    """The rules for listening to `address`; tokens that are needed, or wanted, and were not given are drawn.

    Raises AccessError for a token that is too short, or given for both roles.
    """
    for role, token in (("operator", operator_token), ("viewer", viewer_token)):
        if token and len(token) < SHORTEST_TOKEN:
            raise AccessError(
                f"the {role}'s token has {len(token)} characters; expected at least {SHORTEST_TOKEN}: leave it out, "
                "and one is drawn"
            )
    if operator_token and operator_token == viewer_token:
        raise AccessError("operator and viewer have the same token; give two, or leave them out and they are drawn")
    if address not in _LOCAL_NAMES or operator_token or viewer_token or wanted:
        operator_token = operator_token or secrets.token_urlsafe(18)
        viewer_token = viewer_token or secrets.token_urlsafe(18)
    return Access(address, frozenset(name.lower() for name in names), operator_token, viewer_token)


@dataclass
class Sessions:
    """Who has shown a token. The browser keeps the id of its session, never the token."""

    _found: dict[str, tuple[Role, float]] = field(default_factory=dict)

    def open(self, now: float, role: Role) -> str:
        """A new session's id; the oldest one ends when there are too many."""
        while len(self._found) >= _SESSIONS:
            del self._found[next(iter(self._found))]
        key = secrets.token_urlsafe(24)
        self._found[key] = role, now
        return key

    def role_of(self, now: float, key: str) -> Role | None:
        """The role of a session; None for one that is unknown or over."""
        role, since = self._found.get(key, (None, now))
        if now - since > _LIFETIME:
            del self._found[key]
            return None
        return role

    def close(self, key: str) -> None:
        """End a session, if there is one."""
        self._found.pop(key, None)


def _is_same(token: str, own: str) -> bool:
    return bool(own) and hmac.compare_digest(token.encode(), own.encode())


def _name_of(host: str) -> str:
    """The host of a Host header, lower case, without port and brackets; empty when it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
