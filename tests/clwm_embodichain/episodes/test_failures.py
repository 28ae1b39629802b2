"""Pictures of failures are kept, and no more of them than a person looks at."""

import os
from types import SimpleNamespace

import cv2
import numpy as np

from clwm_embodichain.episodes.failures import KEPT, keep_failure, kept_failures


def test_the_newest_failures_are_kept_as_strips_from_beginning_to_end(tmp_path):
    images = np.zeros((9, 3, 4, 4, 3), np.uint8)
    images[8, 0, ..., 0] = 255  # red at the end, as the first camera sees it
    for seed in range(KEPT + 3):
        keep_failure(tmp_path, SimpleNamespace(images=images, goals=("place:red:blue",), scene="blocks", seed=seed))
        newest = tmp_path / f"blocks-place_red_blue-{seed}.png"
        os.utime(newest, ns=(seed, seed))
    kept = kept_failures(tmp_path)
    assert [path.stem.rpartition("-")[2] for path in kept] == [str(seed) for seed in range(KEPT + 2, 2, -1)]
    strip = cv2.imread(str(kept[0]))[..., ::-1]
    assert strip.shape == (4, 16, 3)
    assert not strip[:, :12].any() and (strip[:, 12:] == [255, 0, 0]).all()
