"""The gate before any policy training: can every object's pose be read from the frozen features, whatever the looks?

`python -m clwm_embodichain.training.encoder.probe` fits ridge regressions on states in looks of full strength, scene by
scene, and reports their errors on states and looks that neither they nor the encoder has seen; how far apart features
are of one state in two looks; and the same of the shipped encoder, of an untrained one, and of predicting the mean.
Beside them stand probes of exact pixels instead of features: of all things in the head picture, which do not say how
the camera is mounted, and of the arms' bases too, which do.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clwm_common.provenance import commit, machine
from clwm_common.robot.description import RobotDescription
from clwm_embodichain.training.encoder.data import Frames, read_shard, write_shard
from clwm_embodichain.training.encoder.model import SIZES, TrainingConfig, build_model
from clwm_embodichain.training.encoder.render import MOUNTING_HELP, SCHEDULE, Photographer, frames_of
from clwm_embodichain.training.encoder.ridge import fit_probe
from clwm_embodichain.training.encoder.roles import (
    ASKED,
    BASES,
    FIRST_POINTS,
    ROLES,
    TOOLS,
    pose_errors,
    scaled,
    unscaled,
)
from clwm_embodichain.training.encoder.stability import relative_distance
from clwm_embodichain.training.encoder.states import RollOuts
from clwm_perception.backends import PooledEncoder, TorchBackend
from clwm_perception.encoder import Encoder
from clwm_sim.world import ROBOT

# share_of_mean: of the error of a constant. What hardly varies is within any bound without being seen.
GATE = {"mm": 8.0, "deg": 5.0, "looks_apart": 0.35, "share_of_mean": 0.5}
SCENES = tuple(sorted(set(SCHEDULE)))
# Seeds that no training, no recorded episode and no evaluation uses.
TRAIN_SEED, TEST_SEED = 2_000_000, 3_000_000
_PIXELS = {"pixels": False, "pixels_and_bases": True}  # controls: are the arms' bases among them
FEW = 20  # states with an object below which nothing is said of it
Encode = Callable[[NDArray[np.uint8]], NDArray]


@dataclass(frozen=True)
class Errors:
    """Of all objects of one kind in one scene: distances in mm and angles in degrees, NaN where none is asked for."""

    mm: NDArray[np.float64]
    deg: NDArray[np.float64]

    @property
    def medians(self) -> dict[str, float]:
        """By unit."""
        found = {"mm": round(float(np.median(self.mm)), 2)}
        return found if np.isnan(self.deg).all() else found | {"deg": round(float(np.median(self.deg)), 2)}


def frames_for(folder: Path, scene: str, states: int, seed: int, looks: int, mounting: float = 1.0) -> Frames:
    """States of a scene in looks of full strength; rendered at the first call. mounting: as `render --mounting`."""
    mounted = "" if mounting == 1.0 else f"-mounting-{mounting:g}"
    path = folder / f"{scene}-{states}-{looks}-{seed}{mounted}.npz"
    if not path.is_file():
        robot = RobotDescription.load(ROBOT)
        photographer = Photographer(robot, mounting=mounting)
        seeds = [seed, SCENES.index(scene)]
        write_shard(path, frames_of(RollOuts(robot), photographer, scene, states, seeds, [1.0] * looks))
        photographer.close()
    return read_shard(path)


def features_of(encode: Encode, frames: Frames) -> NDArray[np.float32]:
    """Features (states, looks, cameras * rows * columns * channels) of what would be sent as float16."""
    looks = frames.images.shape[1]
    rows = [
        [encode(frames.images[n, look]).astype(np.float32).ravel() for look in range(looks)] for n in range(len(frames))
    ]
    return np.array(rows)


def pixels_of(frames: Frames, with_bases: bool) -> NDArray[np.float32]:
    """Where the first look's head picture shows each thing, from -1 to 1, with a 1 if it is there at all, by role and
    summed by kind: (n, numbers). with_bases: of the arms too.
    """
    size = frames.images.shape[-2]
    places = (2.0 * frames.pixels[:, 0, 0, FIRST_POINTS] + 1.0) / size - 1.0
    found = np.concatenate([places, np.ones((*places.shape[:2], 1))], axis=2) * frames.present[..., None]
    kinds = {role: role.rpartition(" ")[2] for role in ROLES if role not in (*TOOLS, *BASES)}
    summed = [
        found[:, [ROLES.index(role) for role, each in kinds.items() if each == kind]].sum(axis=1)
        for kind in dict.fromkeys(kinds.values())
    ]
    told = [index for index, role in enumerate(ROLES) if with_bases or role not in BASES]
    return np.nan_to_num(np.concatenate([found[:, told].reshape(len(found), -1), *summed], axis=1)).astype(np.float32)


def groups(present: NDArray[np.bool_]) -> list[tuple[str, list[int]]]:
    """What a probe is fitted for, by kind: each colour by itself where a scene shows several of a kind at once, all
    colours together where there is only one, which needs no colour to be named. present: (n, roles).
    """
    kinds: dict[str, list[int]] = {}
    for index in np.flatnonzero(present.any(axis=0) & ASKED.any(axis=1)):
        role = ROLES[index]
        kinds.setdefault(role if role in TOOLS else role.rpartition(" ")[2], []).append(int(index))
    result = []
    for kind, indices in kinds.items():
        is_alone = present[:, indices].sum(axis=1).max() == 1
        result += [(kind, indices)] if is_alone else [(kind, [index]) for index in indices]
    return result


def probe_scene(train: Frames, test: Frames, inputs: NDArray | None, unseen: NDArray | None) -> dict[str, Errors]:
    """Errors by kind of object; inputs, unseen: features (n, d) of both in their first look, None: predict the mean."""
    found: dict[str, list[tuple[NDArray, NDArray]]] = {}
    for kind, indices in groups(train.present):
        fitted, asked = (frames.present[:, indices].any(axis=1) for frames in (train, test))
        if fitted.sum() < FEW or asked.sum() < FEW:
            continue
        targets = _poses(train, indices)[fitted]
        if inputs is None or unseen is None:
            estimate = np.broadcast_to(targets.mean(axis=0), (int(asked.sum()), targets.shape[1]))
        else:
            estimate = fit_probe(inputs[fitted], targets)(unseen[asked])
        whole = np.zeros((len(estimate), len(ROLES), targets.shape[1]))
        whole[:, indices[0]] = estimate
        truth = np.where(test.present[:, indices, None], test.poses[:, indices], 0.0).sum(axis=1)[asked]
        found.setdefault(kind, []).append(pose_errors(unscaled(whole)[:, indices[0]], truth, indices[0]))
    return {
        kind: Errors(*(np.concatenate(part) for part in zip(*errors, strict=True))) for kind, errors in found.items()
    }


def _poses(frames: Frames, indices: list[int]) -> NDArray[np.float32]:
    """Scaled poses (n, 5) of whichever of these roles is there."""
    return np.where(frames.present[:, indices, None], scaled(frames.poses)[:, indices], 0.0).sum(axis=1)


def run_probe(
    encoders: Mapping[str, Encode], folder: Path, train: int, test: int, mounting: float = 1.0
) -> tuple[dict[str, dict[str, dict[str, Errors]]], dict[str, dict[str, float]]]:
    """Errors by encoder, scene and kind of object, of `mean` and of exact pixels too; by encoder how far looks
    are apart: among the states of all scenes, and, which is harder, among those of one scene.
    """
    errors: dict[str, dict[str, dict[str, Errors]]] = {name: {} for name in (*encoders, *_PIXELS, "mean")}
    features: dict[str, list[NDArray]] = {name: [] for name in encoders}
    for scene in SCENES:
        fitted = frames_for(folder, scene, train, TRAIN_SEED, 1, mounting)
        unseen = frames_for(folder, scene, test, TEST_SEED, 2, mounting)
        errors["mean"][scene] = probe_scene(fitted, unseen, None, None)
        for name, with_bases in _PIXELS.items():
            errors[name][scene] = probe_scene(
                fitted, unseen, *(pixels_of(each, with_bases) for each in (fitted, unseen))
            )
        for name, encode in encoders.items():
            inputs, tested = features_of(encode, fitted)[:, 0], features_of(encode, unseen)
            features[name].append(tested)
            errors[name][scene] = probe_scene(fitted, unseen, inputs, tested[:, 0])
            print(scene, name, {kind: found.medians for kind, found in errors[name][scene].items()}, flush=True)
    stability = {}
    for name, parts in features.items():
        tensors = [torch.from_numpy(part) for part in parts]
        together = torch.cat(tensors)
        within = {scene: relative_distance(part[:, 0], part[:, 1]) for scene, part in zip(SCENES, tensors, strict=True)}
        stability[name] = {"all": round(relative_distance(together[:, 0], together[:, 1]), 3)}
        stability[name] |= {scene: round(value, 3) for scene, value in within.items()}
    return errors, stability


def untrained(folder: Path) -> Encode:
    """The encoder of a folder as it was before its training."""
    facts = json.loads((folder / "clwm.json").read_text())
    sizes = {name: facts["training"][name] for name in SIZES}
    backend = TorchBackend(PooledEncoder(build_model(TrainingConfig(**sizes)).eval(), sizes["pool"]))
    preprocess = Encoder.load(folder, "torch", sizes["pool"]).checkpoint.preprocessing
    return lambda images: backend(preprocess(images)).astype(np.float16)


def is_passed(
    errors: Mapping[str, Mapping[str, Errors]],
    means: Mapping[str, Mapping[str, Errors]],
    stability: Mapping[str, float],
) -> bool:
    """Whether every object of every scene is found well enough, and looks matter little enough. means: the errors of
    mean prediction on the same states.
    """
    found = (
        (value, min(GATE[unit], GATE["share_of_mean"] * means[scene][kind].medians[unit]))
        for scene, kinds in errors.items()
        for kind, each in kinds.items()
        for unit, value in each.medians.items()
    )
    return all(value <= most for value, most in found) and stability["all"] <= GATE["looks_apart"]


def plot_errors(errors: Mapping[str, Mapping[str, Errors]], path: Path) -> None:
    """Cumulative distributions of position and angle errors of every object, with the gates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for axis, unit, most in zip(axes, ("mm", "deg"), (60.0, 45.0), strict=True):
        for scene, kinds in errors.items():
            for kind, found in kinds.items():
                values = np.sort(getattr(found, unit))
                if kind not in TOOLS and not np.isnan(values).all():
                    axis.plot(values, np.linspace(0.0, 1.0, len(values)), label=f"{scene}: {kind}")
        axis.axvline(GATE[unit], color="grey", linewidth=0.8)
        axis.axhline(0.5, color="grey", linewidth=0.5)
        axis.set(xlabel=f"error of the probe, {unit}", ylabel="share of unseen states", xlim=(0, most), ylim=(0, 1))
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, default=Path("models/next/encoder"))
    parser.add_argument("--shipped", type=Path, default=Path("models/nano/encoder"))
    parser.add_argument("--data", type=Path, default=Path("out/encoder_probe"))
    parser.add_argument("--train", type=int, default=1000, help="states of each scene that the probes are fitted on")
    parser.add_argument("--test", type=int, default=250)
    parser.add_argument("--mounting", type=float, default=1.0, help=MOUNTING_HELP)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/encoder_probe.json"))
    parser.add_argument("--controls-only", action="store_true", help="add those without an encoder to a whole report")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
    if arguments.controls_only:
        try:
            _write(arguments.json, with_controls(before, arguments.data, arguments.train, arguments.test))
        except ValueError as error:
            sys.exit(f"error: {error}")
        return
    encoder = _load(arguments.encoder)
    shipped = _load(arguments.shipped)
    encoders = {"encoder": encoder, "shipped": shipped, "untrained": untrained(arguments.encoder)}
    errors, stability = run_probe(encoders, arguments.data, arguments.train, arguments.test, arguments.mounting)
    passed = is_passed(errors["encoder"], errors["mean"], stability["encoder"])
    result: dict[str, Any] = {
        "what": "median errors of ridge regressions on frozen features, and relative distance of features of one state "
        "in two looks; unseen states in unseen looks of full strength",
        "passed": passed,
        "gate": GATE,
        "errors": _medians(errors),
        "looks_apart": stability,
        "shipped_in_its_own_looks": before.get("shipped_in_its_own_looks"),
        "mounting": arguments.mounting,
        "train_states": arguments.train,
        "test_states": arguments.test,
        "seeds": {"train": TRAIN_SEED, "test": TEST_SEED},
        "encoder_id": encoder.encoder_id,
        "encoder_hash": encoder.weights_hash,
        "shipped_hash": shipped.weights_hash,
        "machine": machine(),
        "commit": commit(),
    }
    _write(arguments.json, result)
    plot_errors(errors["encoder"], arguments.encoder / "probe.png")
    print(json.dumps({"passed": passed, "looks_apart": stability}, indent=1))


def with_controls(report: dict[str, Any], folder: Path, train: int, test: int) -> dict[str, Any]:
    """A report of `main` with the errors of what needs no encoder as they are now.

    Raises ValueError for a report about other states, beside which they would be no controls.
    """
    states = {"train_states": train, "test_states": test, "seeds": {"train": TRAIN_SEED, "test": TEST_SEED}}
    if other := [name for name, value in states.items() if report.get(name) != value]:
        raise ValueError(
            f"the report's {other[0]} is {report.get(other[0])}, not {states[other[0]]}; run the whole probe"
        )
    errors, _ = run_probe({}, folder, train, test)
    return report | {"errors": report["errors"] | _medians(errors), "controls_commit": commit()}


def _medians(errors: Mapping[str, Mapping[str, Mapping[str, Errors]]]) -> dict[str, Any]:
    return {
        name: {scene: {kind: found.medians for kind, found in kinds.items()} for scene, kinds in scenes.items()}
        for name, scenes in errors.items()
    }


def _write(path: Path, report: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def _load(folder: Path) -> Encoder:
    """With the pool factor that it was trained with."""
    return Encoder.load(folder, pool=json.loads((folder / "clwm.json").read_text())["pool"])


if __name__ == "__main__":
    main()
