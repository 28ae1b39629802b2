"""JSON documents that name their format and carry the hash of their own content: whole, or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def document_hash(document: Mapping[str, Any]) -> str:
    """sha256 hex of a JSON document's content, which it carries itself as `document_sha256`.

    The same before it is written and after it was read, also where a dictionary's keys are whole numbers.
    """
    content = {name: value for name, value in document.items() if name != "document_sha256"}
    as_read = json.loads(json.dumps(content))  # keys that are numbers come back as texts, which are sorted otherwise
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def read_signed(
    path: Path, format_: str, error: type[Exception], *, absent: str, foreign: str, remedy: str
) -> dict[str, Any]:
    """The content of `path`. Raises `error` for a file that is absent, damaged, of another format, or was changed.

    absent, foreign: what to say, after the file's name and the reason, of the first and of another format; remedy: of
    all else.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as reason:
        raise error(f"{path} cannot be read ({reason.strerror}); {absent}") from None
    except ValueError as reason:
        raise error(f"{path} is not JSON ({reason}); {remedy}") from None
    if not isinstance(document, dict) or document.get("format") != format_:
        raise error(f"{path} is not {foreign}")
    if document.get("document_sha256") != document_hash(document):
        raise error(f"{path} was changed after it was written; {remedy}")
    return document
