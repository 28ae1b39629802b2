"""Whether a DDS profile keeps processes that join from holding up their neighbours. Looks at XML; knows no ROS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from clwm_common.ros.transport import PROFILE_VARIABLES

OURS = "config/fastdds.xml"
OPTION = "healthy_check_timeout_ms"
WANTED, DEFAULT = 30, 1000  # ms
MOST = 100  # ms: a third of it is what a publisher may stand still; arms brake at 200 ms without a joint state


class ProfileError(ValueError):
    """A profile that Fast DDS does not take; the message names the file and what is wrong with it."""


def shared_memory_timeouts(path: Path) -> dict[str, int]:
    """What OPTION is, in ms, for each shared-memory transport of the file's default participant, by its name.

    The built-in transport, where it is not switched off, has the default. Raises ProfileError.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        raise ProfileError(f"{path} cannot be read ({error.strerror})") from None
    except ElementTree.ParseError as error:
        raise ProfileError(f"{path} is not XML: {error}") from None
    if root.tag.rpartition("}")[2] not in ("dds", "profiles"):
        raise ProfileError(f"{path} has the root <{root.tag.rpartition('}')[2]}>; expected <profiles> or <dds>")
    participants = [it for it in _named(root, "participant") if it.get("is_default_profile") == "true"]
    used = {_text(it) for participant in participants for it in _inside(participant, "userTransports", "transport_id")}
    builtin = [_text(it) for participant in participants for it in _named(participant, "useBuiltinTransports")]
    found = {} if builtin and builtin[0] in ("false", "0") else {"the built-in one": DEFAULT}
    for transport in _named(root, "transport_descriptor"):
        name = _child(transport, "transport_id")
        if name in used and _child(transport, "type").upper() == "SHM":
            found[name] = _milliseconds(path, _child(transport, OPTION))
    return found


def problem_with(path: Path) -> str:
    """What to tell a user whose profile lets joining processes stop the arms; empty when it is well.

    Raises ProfileError.
    """
    slow = {name: value for name, value in shared_memory_timeouts(path).items() if value > MOST}
    if not slow:
        return ""
    values = ", ".join(f"{name} {value} ms" for name, value in slow.items())
    return f"{path}: {OPTION} of shared memory is {values}; a process that joins may stop the arms for a third of that"


def variable_of(environment: Mapping[str, str]) -> tuple[str, str]:
    """Name and value of the variable that says which profile Jazzy takes; empty texts when none does."""
    return next(((name, environment[name]) for name in PROFILE_VARIABLES if environment.get(name)), ("", ""))


def _milliseconds(path: Path, text: str) -> int:
    try:
        return int(text) if text else DEFAULT
    except ValueError:
        raise ProfileError(f"{path}: {OPTION} is '{text}'; expected a number of ms, such as {WANTED}") from None


def _named(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def _inside(root: ElementTree.Element, outer: str, inner: str) -> list[ElementTree.Element]:
    return [found for element in _named(root, outer) for found in _named(element, inner)]


def _child(root: ElementTree.Element, name: str) -> str:
    return next((_text(element) for element in _named(root, name)), "")


def _text(element: ElementTree.Element) -> str:
    return (element.text or "").strip()
