"""Whether each camera's pictures are of any use, and in words why not and since when. No ROS, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from clwm_common.stamps import stamp_problem
from clwm_perception.image_sets import SynchroniserConfig

IMAGE_BYTES = 16_000_000  # of a picture at most; 2208 x 1242 RGB pixels take half of it
HEADER_BYTES = 1024  # of an image message that are not pixels, at most
AHEAD = 0.02  # s; clocks that are synchronised differ by less, and a picture that claims to be newer hides an old one
OLD = 4.0  # frame periods after its capture by which a picture should have come


@dataclass
class _Camera:
    useful_at: float | None = None
    heard_at: float | None = None
    stamp: float | None = None
    refused_at: float = float("-inf")
    reason: str = ""
    size: tuple[int, int] | None = None
    change: str = ""


class PictureWatch:
    """Judges every picture by its stamp. Perception and `clwm preflight` use it."""

    def __init__(self, config: SynchroniserConfig) -> None:
        self._config = config
        self.start(None)

    def start(self, now: float | None) -> None:
        """From `now` on cameras are expected to send; None: from some later call on."""
        self._started_at = now
        self._cameras = {camera: _Camera() for camera in self._config.cameras}

    def hear(self, now: float, camera: str, stamp: float, size: tuple[int, int]) -> bool:
        """A picture of `size` (height, width) came at `now`. Whether it may answer a request.

        One that is only late may: it is of the instant that its stamp says.
        """
        seen = self._cameras[camera]
        seen.heard_at = now
        if seen.size is not None and size != seen.size:
            seen.change = f"pictures of '{camera}' are {_text(size)} now, and were {_text(seen.size)}"
        seen.size = size
        if stamp == seen.stamp and stamp != 0.0:
            self.refuse(now, camera, f"it repeats the stamp {stamp:.3f} s; let the driver stamp every picture anew")
            return False
        seen.stamp = stamp
        if problem := stamp_problem(now, stamp, AHEAD, OLD * self._config.frame_period):
            self.refuse(now, camera, problem)
            return not stamp_problem(now, stamp, AHEAD, float("inf"))
        seen.useful_at = now
        return True

    def refuse(self, now: float, camera: str, reason: str) -> None:
        """A picture could not be used."""
        seen = self._cameras[camera]
        seen.heard_at = seen.refused_at = now
        seen.reason = reason

    def refuse_bytes(self, now: float, camera: str, reason: str, image_bytes: int) -> None:
        """A message was not let in, as being too large or not an image."""
        self.refuse(
            now,
            camera,
            f"a message of {reason}; if it is a picture, raise perception's image_bytes (now {image_bytes}) in "
            "config/stack.yaml",
        )

    def problem(self, now: float, camera: str) -> str:
        """What keeps the camera from being of use, in a sentence; empty when nothing has for long."""
        seen, patience = self._cameras[camera], self._config.silent_after
        since = self._started_at if seen.useful_at is None else seen.useful_at
        if since is None or now - since <= patience:
            return ""
        lasted = f"for {now - since:.1f} s"
        if now - seen.refused_at <= patience:
            return f"pictures of '{camera}' cannot be used {lasted}: {seen.reason}"
        never = " (none since the start)" if seen.heard_at is None else ""
        return f"camera '{camera}' has sent no picture {lasted}{never}; check its driver and its topic"

    def problems(self, now: float) -> list[str]:
        """Of all cameras."""
        return [problem for camera in self._cameras if (problem := self.problem(now, camera))]

    def changes(self) -> list[str]:
        """Whose pictures have changed their size."""
        return [seen.change for seen in self._cameras.values() if seen.change]


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
