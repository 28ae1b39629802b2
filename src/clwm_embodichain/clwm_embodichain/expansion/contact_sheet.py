"""A sheet of random looks of one scene, for people: what every camera sees at the start of so many episodes."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.expansion.attempts import Attempt, Attempts
from clwm_embodichain.expansion.parts import Expansion
from clwm_sim.cameras import CAMERAS

LOOKS = 24
COLUMNS = 4
PICTURE = 128  # px
_LINE, _GAP = 15, 6  # px
_INK, _PAPER = (30, 30, 30), 255


def contact_sheet(scene: str, seed: int, expansion: Expansion, looks: int = LOOKS) -> Iterator[NDArray[np.uint8]]:
    """One labelled cell of the sheet after the other, of the episodes from `seed` on; `arranged` puts them together.

    Raises RegistryError for an unknown scene, RenderError when no GL library can be used.
    """
    attempts = Attempts(image_size=PICTURE)
    try:
        for number in range(seed, seed + looks):
            yield _cell(attempts.prepare(scene, None, number, expansion), number)
    finally:
        attempts.close()


def arranged(cells: list[NDArray[np.uint8]], scene: str, expansion: Expansion) -> NDArray[np.uint8]:
    """RGB (height, width, 3): all cells below a headline."""
    blank = np.full_like(cells[0], _PAPER)
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    rows[-1] = rows[-1] + [blank] * (COLUMNS - len(rows[-1]))
    body = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    headline = f"scene {scene}, expansion {expansion}; each as {', '.join(CAMERAS).replace('_', ' ')} see it"
    return np.concatenate([_text(headline, body.shape[1], 0.5), body])


def _cell(attempt: Attempt, seed: int) -> NDArray[np.uint8]:
    pictures = np.concatenate([attempt.stage.render(camera) for camera in CAMERAS], axis=1)
    distractors = len(attempt.stage.situation().obstacles)
    beside = {0: "", 1: ", 1 distractor"}.get(distractors, f", {distractors} distractors")
    words = f"{seed}{beside}: {attempt.goal.sentences()[0]}"
    cell = np.concatenate([_text(words, pictures.shape[1], 0.36), pictures])
    return np.pad(cell, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=_PAPER)


def _text(words: str, width: int, size: float) -> NDArray[np.uint8]:
    line = np.full((round(_LINE * size / 0.36), width, 3), _PAPER, np.uint8)
    return cv2.putText(line, words, (2, len(line) - 4), cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
