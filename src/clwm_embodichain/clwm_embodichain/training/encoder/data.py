"""Pictures with their key points: rendered pools of random scenes, and of the states in which tasks start.

`python -m clwm_embodichain.training.encoder.data` renders the training pool (about 20 ms a scene, 2.4 GB), and with
`--held-out` the scenes that the training is judged on.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clwm_embodichain.training.encoder.scenes import SceneSampler
from clwm_sim.cameras import CAMERAS, project
from clwm_sim.world import World

SHARD = 500
TRAY_CORNERS, BLOCK_CORNERS = slice(0, 4), slice(7, 11)
BLOCK, PAD, TCP = 6, 11, slice(12, 14)


class EncoderDataError(RuntimeError):
    """Training pictures that are missing or damaged; the message names the file and the command that makes them."""


@dataclass(frozen=True)
class Frames:
    """Image sets with supervision.

    images: (n, 3, height, width, 3) uint8, cameras in the order of CAMERAS; keypoints: (n, K, 3) m, world frame;
    present: (n, K) whether the key point's object is there; pixels: (n, 3, K, 2) as (u, v), NaN behind the camera.
    """

    images: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    present: NDArray[np.bool_]
    pixels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Frames:
        """The first `count` of them."""
        return Frames(self.images[:count], self.keypoints[:count], self.present[:count], self.pixels[:count])


def object_poses(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Poses (n, 18) from key points (n, K, 3): tray x y z, sin and cos of yaw, block the same five, pad x y; in m.

    The last six numbers are the tool centre points of both hands.
    """
    parts = []
    for corners in (keypoints[:, TRAY_CORNERS], keypoints[:, BLOCK_CORNERS]):
        # Corner order: near right, near left, far right, far left; near to far is the object's x axis.
        forward = (corners[:, 2] + corners[:, 3] - corners[:, 0] - corners[:, 1])[:, :2]
        length = np.linalg.norm(forward, axis=1, keepdims=True)
        parts += [corners.mean(axis=1), forward[:, 1:] / length, forward[:, :1] / length]
    return np.concatenate([*parts, keypoints[:, PAD, :2], keypoints[:, TCP].reshape(-1, 6)], axis=1)


def capture(world: World) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures (3, height, width, 3) of all cameras and the key points' pixels (3, K, 2) in them."""
    points = world.keypoint_array()
    images = np.stack([world.render(camera) for camera in CAMERAS])
    pixels = [project(points, world.camera_info(camera), world.camera_pose(camera)) for camera in CAMERAS]
    return images, np.array(pixels, dtype=np.float32)


def render_pool(folder: Path, scenes: int, seed: int, image_size: int = 128, strength: float = 1.0) -> None:
    """Write shards of random scenes into `folder`, keeping complete ones already there. One GL context per process."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World("lift_tray", image_size)
    started = time.monotonic()
    sampler = SceneSampler(world.robot, np.random.default_rng([seed, 0]))
    for index in range(-(-scenes // SHARD)):
        target = folder / f"scenes_{index:03d}.npz"
        if target.is_file():
            continue
        rng = np.random.default_rng([seed, 1 + index])
        sampler.reseed(rng)
        rows = []
        for _ in range(min(SHARD, scenes - index * SHARD)):
            state = sampler.draw()
            # A third keeps the nominal looks, which are what the robot will see.
            world.randomise_appearance(rng, strength * float(rng.choice([0.0, 0.5, 1.0])), camera_jitter=0.0)
            world.arrange(state.positions, state.widths, state.poses)
            images, pixels = capture(world)
            rows.append((images, world.keypoint_array().astype(np.float32), world.keypoint_visible(), pixels))
        _write(target, rows)
        print(f"{target.name}: {time.monotonic() - started:.0f} s", flush=True)
    world.close()


def render_starts(
    folder: Path, task: str, scenes: int, first_seed: int, image_size: int = 128, strength: float = 1.0
) -> Path:
    """Write one file of a task's initial states under seeds from `first_seed` on, looks randomised; kept when there."""
    target = folder / f"starts_{task}_{first_seed}_{scenes}_{strength:g}.npz"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        world = World(task, image_size)
        rows = []
        for seed in range(first_seed, first_seed + scenes):
            world.reset(seed)
            world.randomise_appearance(np.random.default_rng([seed, 3]), strength, camera_jitter=0.0)
            images, pixels = capture(world)
            rows.append((images, world.keypoint_array().astype(np.float32), world.keypoint_visible(), pixels))
        world.close()
        _write(target, rows)
    return target


def load_frames(path: Path) -> Frames:
    """Read one file written here. Raises EncoderDataError when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            frames = Frames(data["images"], data["keypoints"], data["present"], data["pixels"])
    except (OSError, KeyError, ValueError) as error:
        raise EncoderDataError(
            f"{path} cannot be read ({error}); delete it and run python -m clwm_embodichain.training.encoder.data"
        ) from error
    if not np.isfinite(frames.keypoints).all():
        scene = int(np.argwhere(~np.isfinite(frames.keypoints))[0][0])
        raise EncoderDataError(f"{path}: keypoints[{scene}] are not finite; delete it and run encoder_data again")
    return frames


def concatenate(parts: list[Frames]) -> Frames:
    """Several sets of frames as one. Raises EncoderDataError when there are none."""
    if not parts:
        raise EncoderDataError("no training pictures found; run python -m clwm_embodichain.training.encoder.data first")
    return Frames(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("images", "keypoints", "present", "pixels")
        )
    )


def _write(target: Path, rows: list[tuple[NDArray, ...]]) -> None:
    images, keypoints, present, pixels = (np.stack(column) for column in zip(*rows, strict=True))
    # Written aside and renamed, so that a trainer that watches the folder never opens half a file.
    temporary = target.with_name(f".{target.name}")
    with temporary.open("wb") as file:
        np.savez(file, images=images, keypoints=keypoints, present=present, pixels=pixels)
    temporary.replace(target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render random scenes for encoder training.")
    parser.add_argument("--scenes", type=int, default=16_000)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--held-out", action="store_true", help="render 300 scenes of another seed instead")
    arguments = parser.parse_args()
    if arguments.held_out:
        render_pool(Path("out/encoder_held_out"), 300, seed=1, image_size=arguments.image_size)
    else:
        render_pool(Path("out/encoder_data"), arguments.scenes, seed=0, image_size=arguments.image_size)


if __name__ == "__main__":
    main()
