"""Pictures of the last attempts that failed, for a person to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from clwm_embodichain.episodes.storage import Episode

KEPT = 12
_SHOWN = 4  # moments of an attempt, from its beginning to its end


def keep_failure(folder: Path, episode: Episode) -> None:
    """A strip of the first camera's pictures in `folder`, from which the oldest go when there are too many."""
    folder.mkdir(parents=True, exist_ok=True)
    moments = np.linspace(0, len(episode.images) - 1, _SHOWN).round().astype(int)
    strip = np.concatenate([episode.images[moment, 0] for moment in moments], axis=1)
    goal = episode.goals[-1].replace(":", "_")
    cv2.imwrite(str(folder / f"{episode.scene}-{goal}-{episode.seed}.png"), strip[..., ::-1])
    for old in kept_failures(folder)[KEPT:]:
        old.unlink(missing_ok=True)  # another worker may have removed it


def kept_failures(folder: Path) -> list[Path]:
    """The newest first."""
    found = []
    for path in folder.glob("*.png"):
        try:
            found.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # removed meanwhile
    return [path for _, path in sorted(found, reverse=True)]
