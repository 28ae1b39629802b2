"""Film one evaluation episode: all cameras side by side with the instruction and the outcome."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray

from clwm_evaluation.success_rates.evaluation import EvaluationSettings, build_stack
from clwm_evaluation.virtual.stack import FRAME_PERIOD, EpisodeResult
from clwm_sim.world import World

SCALE = 2
BAR = 36  # px of text above the pictures
_WHITE = (255, 255, 255)


def overlaid(pictures: list[NDArray[np.uint8]], lines: tuple[str, str]) -> NDArray[np.uint8]:
    """Pictures (height, width, 3) side by side, doubled, under a bar with two lines of text."""
    strip = np.concatenate([picture.repeat(SCALE, axis=0).repeat(SCALE, axis=1) for picture in pictures], axis=1)
    frame = np.zeros((strip.shape[0] + BAR, strip.shape[1], 3), dtype=np.uint8)
    frame[BAR:] = strip
    for index, line in enumerate(lines):
        cv2.putText(frame, line, (6, 14 + 16 * index), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _WHITE, 1, cv2.LINE_AA)
    return frame


def film_episode(settings: EvaluationSettings, seed: int, path: Path) -> EpisodeResult:
    """Run the episode of `seed` and write it to `path` as an mp4 at the cameras' 20 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    instruction = ""
    with imageio.get_writer(path, fps=round(1.0 / FRAME_PERIOD), macro_block_size=2, quality=7) as film:

        def on_frame(world: World, elapsed: float) -> None:
            state = "success" if world.succeeded() else "failure" if world.failed() else "running"
            pictures = [world.render(camera) for camera in world.robot.cameras]
            lines = instruction, f"{settings.control} {settings.sai}  {elapsed:5.2f} s  {state}"
            film.append_data(overlaid(pictures, lines))

        with closing(build_stack(settings, on_frame)) as stack:
            instruction = stack.instruction(seed)
            return stack.run(seed)
