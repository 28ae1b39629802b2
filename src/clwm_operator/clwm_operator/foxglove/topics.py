"""What is served, by topic, and what Foxglove is told of each: the recording's topics, and what is made for plots."""

from __future__ import annotations

from typing import Any

from clwm_common.messages import ChunkTimeline
from clwm_operator.console.page_state import chunk_story

FRAMES, DESCRIPTION, TIMELINE = "/tf", "/robot_description", "/clwm/sai_timeline"
_TIMES = {  # ms of a chunk: s in its story
    "blocking_ms": "blocking",
    "stall_ms": "stall",
    "encode_ms": "encode_seconds",
    "memory_ms": "memory_seconds",
    "context_ms": "context_seconds",
    "finish_ms": "finish_seconds",
}
_NUMBERS = (
    "chunk_id", "surrogate_error", "disagreement", "expected_deviation", "evidence_deviation", "re_entry_s",
    "nfe_total", "nfe_blocking", "memory_updates", "seam_jump",
)  # fmt: skip
_WORDS = "outcome", "policy"
TIMELINE_FIELDS = (*_TIMES, "speculation_ms", *_NUMBERS, *_WORDS)
TIMELINE_SCHEMA = {
    "title": "clwm.SaiTimeline",
    "type": "object",
    "properties": {name: {"type": "string" if name in _WORDS else "number"} for name in TIMELINE_FIELDS},
}


def sai_timeline(timeline: ChunkTimeline) -> dict[str, Any]:
    """One chunk in numbers that can be plotted: what did not happen, or is not known, is left out.

    blocking_ms: from the capture of the observation to the first command; the parts below it are the policy's own.
    """
    story = chunk_story(timeline)
    found = {name: 1e3 * story[of] for name, of in _TIMES.items() if story.get(of) is not None}
    began, ended = story.get("speculation", (None, None))
    if began is not None and ended is not None:
        found["speculation_ms"] = 1e3 * (ended - began)
    return found | {name: story[name] for name in (*_NUMBERS, *_WORDS) if story.get(name) is not None}
