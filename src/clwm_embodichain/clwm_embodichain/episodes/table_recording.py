"""Episodes of the first tasks, on whose table there are a tray, a block and a pad; their expert is one of its own."""

from __future__ import annotations

import numpy as np

from clwm_common.actions import CHUNK_ROWS, ROW_DT
from clwm_embodichain.episodes.storage import IMAGE_STRIDE, Episode, EpisodeError
from clwm_embodichain.expansion.disturbance import Disturbance
from clwm_embodichain.expansion.parts import NOTHING
from clwm_embodichain.expansion.trouble import disturbed
from clwm_sim.cameras import CAMERAS
from clwm_sim.controllers.interpolation import between
from clwm_sim.experts.task_expert import Expert
from clwm_sim.world import World

FIRST_EVALUATION_SEED = 1_000_000
STILL_ROWS = 12  # kept after success: 0.6 s of holding still
LOOKS_STRENGTH, CAMERA_JITTER = 0.5, 0.15


def record_table_episode(world: World, expert: Expert, seed: int, *, is_disturbed: bool = True) -> Episode:
    """Play and record one episode; `success` tells whether it is worth keeping.

    Raises EpisodeError for a seed that is reserved for evaluation.
    """
    check_seeds(seed, 1)
    world.reset(seed)
    rng = np.random.default_rng([seed, 3])
    world.randomise_appearance(rng, LOOKS_STRENGTH, CAMERA_JITTER)
    disturbance = Disturbance(rng)
    executed = [expert.start()]
    commands = [executed[0]]
    states, images, moments = [], [], []
    left = STILL_ROWS
    while left and not world.failed():
        index = len(executed) - 1
        measured = world.measured()
        states.append(expert.row_of(measured.positions, measured.widths))
        if index % IMAGE_STRIDE == 0:
            images.append(np.stack([world.render(camera) for camera in CAMERAS]))
            moments.append((world.table(), expert.velocity))
        commands.append(expert.next_row(executed[-1]))
        executed.append(disturbed(commands[-1], expert, disturbance) if is_disturbed else commands[-1])
        world.advance((index + 1) * ROW_DT, between(executed[-2], executed[-1], index * ROW_DT))
        left -= world.succeeded()
    rows, success = len(states), world.succeeded()
    plans = []
    for row, (situation, velocity) in zip(range(0, rows, IMAGE_STRIDE), moments, strict=True):
        chunk = slice(row, row + CHUNK_ROWS)
        if row + CHUNK_ROWS <= rows and np.array_equal(commands[chunk], executed[chunk]):
            plans.append(np.stack(commands[chunk]))
        else:
            plans.append(expert.plan(executed[row], situation, velocity, CHUNK_ROWS))
    return Episode(
        images=np.stack(images),
        image_rows=np.arange(0, rows, IMAGE_STRIDE),
        asked=np.zeros(len(images), dtype=np.int64),
        plans=np.stack(plans),
        commands=np.stack(commands[:rows]),
        executed=np.stack(executed[:rows]),
        states=np.stack(states),
        interventions=np.zeros(rows, dtype=bool),
        success=success,
        instructions=(world.instruction(seed),),
        goals=(world.goal.name,),
        cameras=CAMERAS,
        scene=world.scene.name,
        expansion=str(NOTHING),
        seed=seed,
    )


def check_seeds(first_seed: int, episodes: int) -> None:
    """Raises EpisodeError when a seed is negative or would be among those that evaluation relies on being unseen."""
    if first_seed < 0 or first_seed + episodes > FIRST_EVALUATION_SEED:
        raise EpisodeError(
            f"seeds {first_seed} to {first_seed + episodes - 1} are not all below {FIRST_EVALUATION_SEED}; seeds "
            "from there on are reserved for evaluation"
        )
