"""Renders the pictures that the encoder is trained on: states of expert roll-outs, each in several looks.

`python -m clwm_embodichain.training.encoder.render` goes on until it is stopped: when the folder is full, new shards
take the place of the oldest ones, so that a training beside it sees few pictures often.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clwm_common.robot.description import RobotDescription
from clwm_embodichain.expansion import visual
from clwm_embodichain.training.encoder.data import SEGMENT_STRIDE, Frames, remove_shard, shards, stack, write_shard
from clwm_embodichain.training.encoder.roles import SEGMENTS, Truth, role_of, truth_of
from clwm_embodichain.training.encoder.states import RollOuts
from clwm_sim.cameras import CAMERAS, project
from clwm_sim.looks.looks import Looks
from clwm_sim.scenes.task_table import TABLE
from clwm_sim.stage import Stage
from clwm_sim.world import IMAGE_SIZE, ROBOT

# One shard after the other; three blocks that look alike take the most learning.
SCHEDULE = ("blocks", "tray", "handover", "switches", "pot", "blocks", "cue", TABLE.name)
STATES = 128  # of a shard
LOOKS = 2
MOUNTING_HELP = "how strongly cameras are mounted otherwise, of the strength of looks; 0: as they are meant to be"
NOMINAL_SHARE = 0.15  # of the pictures look as the robot's own cameras would see the plain scene
_REST = SEGMENTS.index("rest")


class Photographer:
    """Takes pictures of states in random looks, on a stage of its own, so that looks never touch the physics."""

    def __init__(self, robot: RobotDescription, image_size: int = IMAGE_SIZE, mounting: float = 1.0) -> None:
        """mounting: of looks' strength, how strongly cameras are mounted otherwise; 0: as they are meant to be."""
        self._stage, self._mounting = Stage(TABLE, robot, image_size), mounting
        self._bases = np.array([arm.base_position for arm in robot.arms])

    def shoot(self, state: Stage, strengths: list[float], rng: np.random.Generator) -> Frames:
        """One state in as many looks as `strengths` has entries, 0 for the nominal one and 1 for the full spread."""
        stage = self._stage
        stage.become(state)
        truth = truth_of(stage.layout, stage.situation(), self._bases)
        columns = _segment_column(stage)
        images, pixels, segments = [], [], []
        for strength in strengths:
            dress(stage, strength, rng, self._mounting)
            for camera in CAMERAS:
                images.append(stage.render(camera))
                pixels.append(_pixels(stage, truth, camera))
                offset = SEGMENT_STRIDE // 2
                shown = stage.segment(camera)[offset::SEGMENT_STRIDE, offset::SEGMENT_STRIDE]
                segments.append(columns[shown])
        views = (1, len(strengths), len(CAMERAS))
        return Frames(
            np.stack(images).reshape(*views, *images[0].shape),
            truth.poses[None],
            truth.present[None],
            np.stack(pixels).reshape(*views, *pixels[0].shape).astype(np.float32),
            np.stack(segments).reshape(*views, *segments[0].shape).astype(np.uint8),
        )

    def close(self) -> None:
        """Free the GL context."""
        self._stage.close()


def dress(stage: Stage, strength: float, rng: np.random.Generator, mounting: float) -> None:
    """Give a stage random looks that hold until the next ones."""
    stage.apply_looks(visual.draw(rng, stage.layout, strength, mounting * strength) if strength > 0.0 else Looks())


def strengths_of(rng: np.random.Generator, looks: int) -> list[float]:
    """How strong the looks of one state are."""
    return [0.0 if rng.random() < NOMINAL_SHARE else float(rng.uniform(0.3, 1.0)) for _ in range(looks)]


def frames_of(
    roll_outs: RollOuts,
    photographer: Photographer,
    scene: str,
    states: int,
    seed: list[int],
    strengths: list[float] | None = None,
) -> Frames:
    """States of one scene as `seed` says, in looks of these strengths; None draws them anew for each state."""
    rng, looks = np.random.default_rng([*seed, 0]), np.random.default_rng([*seed, 1])
    found = itertools.islice(roll_outs.states(scene, rng), states)
    return stack(photographer.shoot(state, strengths or strengths_of(looks, LOOKS), looks) for state in found)


def render_forever(
    folder: Path, seed: int, most: int, image_size: int = IMAGE_SIZE, mounting: float = 1.0
) -> Iterator[Path]:
    """Write one shard after the other, yielding each; beyond `most` of them the oldest one goes."""
    robot = RobotDescription.load(ROBOT)
    roll_outs, photographer = RollOuts(robot), Photographer(robot, image_size, mounting)
    there = shards(folder)
    first = int(there[-1].stem.rpartition("-")[2]) + 1 if there else 0
    for number in itertools.count(first):
        scene = SCHEDULE[number % len(SCHEDULE)]
        frames = frames_of(roll_outs, photographer, scene, STATES, [seed, number])
        path = folder / f"{scene}-{number:06d}.npz"
        write_shard(path, frames)
        for old in shards(folder)[:-most]:
            remove_shard(old)
        yield path


def _segment_column(stage: Stage) -> np.ndarray:
    """From a number of `stage.segments`, or -1, to one of SEGMENTS."""
    roles = {name: role_of(thing) for name, thing in stage.layout.things.items()}
    return np.array([*(SEGMENTS.index(roles.get(name, name)) for name in stage.segments), _REST])


def _pixels(stage: Stage, truth: Truth, camera: str) -> np.ndarray:
    return project(truth.points, stage.camera_info(camera), stage.camera_pose(camera))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/encoder_data"))
    parser.add_argument("--shards", type=int, default=140, help="kept at most, 40 MB each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mounting", type=float, default=1.0, help=MOUNTING_HELP)
    parser.add_argument("--pause", type=float, default=0.0, help="share of the time to wait once the folder is full")
    arguments = parser.parse_args()
    began = time.monotonic()
    for path in render_forever(arguments.out, arguments.seed, arguments.shards, mounting=arguments.mounting):
        took = time.monotonic() - began
        print(f"{path.name}: {took:.1f} s", flush=True)
        if len(shards(arguments.out)) >= arguments.shards and arguments.pause > 0.0:
            time.sleep(took * arguments.pause / (1.0 - arguments.pause))
        began = time.monotonic()


if __name__ == "__main__":
    main()
