from pathlib import Path

import numpy as np

from clwm_embodichain.episodes.storage import Episode

HERE = Path(__file__).parent
SAMPLE, FOREIGN = HERE / "written_by_lerobot", HERE / "written_for_another_robot"
FOREIGN_MAP = """
state: {feature: observation.state, left_joints: [0, 1, 2, 3, 4, 5], left_gripper: [6],
        right_joints: [7, 8, 9, 10, 11, 12], right_gripper: [13]}
action: {feature: action, left_joints: [0, 1, 2, 3, 4, 5], left_gripper: [6],
         right_joints: [7, 8, 9, 10, 11, 12], right_gripper: [13]}
cameras: {head: observation.images.top}
gripper: {closed: 0.0, open: 0.1}
"""


def made_up_episode(seed: int, rows: int = 26, size: int = 64) -> Episode:
    """Numbers at random; smooth pictures, as a codec expects them. What is asked for changes at the fourth picture."""
    rng = np.random.default_rng(seed)
    sets = -(-rows // 4)
    ramp = np.linspace(0.0, 200.0, size)
    pictures = [
        [np.stack([np.add.outer(ramp, ramp) / 2 + rng.uniform(0, 50)] * 3, axis=-1) for _ in range(2)]
        for _ in range(sets)
    ]
    return Episode(
        images=np.array(pictures).astype(np.uint8),
        image_rows=np.arange(0, rows, 4),
        plans=rng.normal(size=(sets, 16, 30)).astype(np.float32),
        commands=rng.normal(size=(rows, 30)).astype(np.float32),
        executed=rng.normal(size=(rows, 30)).astype(np.float32),
        states=rng.normal(size=(rows, 30)).astype(np.float32),
        interventions=rng.random(rows) < 0.3,
        asked=(np.arange(sets) >= 3).astype(np.int64),
        instructions=("put the red block on the blue pad", "keep still"),
        goals=("place:red:blue", "keep_still"),
        cameras=("head", "left_wrist"),
        success=True,
        scene="blocks",
        expansion="visual,physics",
        seed=seed,
        channels=rng.random(30) < 0.9,
    )
