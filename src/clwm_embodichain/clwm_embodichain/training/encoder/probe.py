"""The gate before any policy training: can the objects' poses be read from the frozen pooled features?

`python -m clwm_embodichain.training.encoder.probe` fits a ridge regression on initial states with random looks, and
reports its errors on states that neither it nor the encoder has seen.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clwm_common.provenance import commit, machine
from clwm_embodichain.training.encoder.data import Frames, load_frames, object_poses, render_starts
from clwm_embodichain.training.encoder.heads import pose_errors
from clwm_perception.encoder import Encoder

GATE_MM = {"tray_mm": 8.0, "block_mm": 10.0}
OBJECTS = {"lift_tray": ("tray",), "place_block": ("block", "pad")}
# Seeds that no recorded episode and no evaluation uses.
TRAIN_SEED, TEST_SEED = 2_000_000, 3_000_000
_RIDGES = (1e1, 1e2, 1e3, 1e4, 1e5)


@dataclass(frozen=True)
class Ridge:
    """A linear map of standardised inputs."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __call__(self, inputs: NDArray) -> NDArray[np.float64]:
        return (inputs - self.mean) / self.scale @ self.weights + self.offset


def fit_ridge(inputs: NDArray, targets: NDArray, ridge: float) -> Ridge:
    """Fit inputs (n, d) to targets (n, k) in the dual form, which is cheap when d is larger than n."""
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x = (inputs - mean) / scale
    offset = targets.mean(axis=0)
    dual = np.linalg.solve(x @ x.T + ridge * np.eye(len(x)), targets - offset)
    return Ridge(mean, scale, x.T @ dual, offset)


def fit_probe(inputs: NDArray, targets: NDArray) -> Ridge:
    """The ridge that predicts the last fifth of the data best, fitted again on all of it."""
    held = len(inputs) // 5
    spread = targets.std(axis=0) + 1e-9

    def error(ridge: float) -> float:
        probe = fit_ridge(inputs[:-held], targets[:-held], ridge)
        return float(np.abs((probe(inputs[-held:]) - targets[-held:]) / spread).mean())

    return fit_ridge(inputs, targets, min(_RIDGES, key=error))


def features_of(encoder: Encoder, frames: Frames) -> NDArray[np.float64]:
    """Features (n, cameras * rows * columns * channels) as float64 of what would be sent as float16."""
    return np.stack([encoder(images).astype(np.float64).ravel() for images in frames.images])


def run_probe(encoder: Encoder, folder: Path, train: int, test: int) -> tuple[dict, dict[str, NDArray]]:
    """Errors by kind of test, and position errors [mm] by object for the plot; rendered states stay in `folder`."""
    errors: dict[str, dict[str, float]] = {"randomised": {}, "nominal": {}, "mean_prediction": {}}
    distances = {}
    for task, objects in OBJECTS.items():
        frames = load_frames(render_starts(folder, task, train, TRAIN_SEED))
        poses = object_poses(frames.keypoints)
        probe = fit_probe(features_of(encoder, frames), poses)
        for kind, strength in (("randomised", 1.0), ("nominal", 0.0)):
            unseen = load_frames(render_starts(folder, task, test, TEST_SEED, strength=strength))
            truth, estimate = object_poses(unseen.keypoints), probe(features_of(encoder, unseen))
            keep = [f"{name}_{unit}" for name in objects for unit in ("mm", "deg")]
            measured = pose_errors(estimate, truth, unseen.present)
            errors[kind] |= {name: value for name, value in measured.items() if name in keep}
            guess = np.broadcast_to(poses.mean(axis=0), truth.shape)
            measured = pose_errors(guess, truth, unseen.present)
            errors["mean_prediction"] |= {name: value for name, value in measured.items() if name in keep}
            for name in objects:
                first = {"tray": 0, "block": 5, "pad": 10}[name]
                offset = estimate[:, first : first + 2] - truth[:, first : first + 2]
                distances[f"{name}, {kind}"] = np.linalg.norm(offset, axis=1) * 1e3
    return errors, distances


def plot_errors(distances: dict[str, NDArray], path: Path) -> None:
    """Cumulative distributions of the position errors, with the gates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.4), constrained_layout=True)
    for name, values in distances.items():
        style = "-" if "randomised" in name else ":"
        colour = {"tray": "tab:blue", "block": "tab:red", "pad": "tab:cyan"}[name.split(",")[0]]
        axes.plot(np.sort(values), np.linspace(0.0, 1.0, len(values)), style, color=colour, label=name)
    for name, gate in GATE_MM.items():
        axes.axvline(gate, color="grey", linewidth=0.8)
        axes.text(gate, 0.02, f" gate {name.removesuffix('_mm')}", rotation=90, fontsize=7)
    axes.axhline(0.5, color="grey", linewidth=0.5)
    axes.set(xlabel="position error of the probe, mm", ylabel="share of unseen scenes", xlim=(0, 40), ylim=(0, 1))
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, default=Path("models/nano/encoder"))
    parser.add_argument("--data", type=Path, default=Path("out/encoder_probe"))
    parser.add_argument("--train", type=int, default=1500)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/encoder_probe.json"))
    parser.add_argument("--plot", type=Path, help="default: probe.png in the encoder's folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder.load(arguments.encoder)
    errors, distances = run_probe(encoder, arguments.data, arguments.train, arguments.test)
    passed = all(errors["randomised"][name] <= gate for name, gate in GATE_MM.items())
    result = {
        "what": "median errors of a ridge regression on frozen pooled features, unseen initial states",
        "passed": passed,
        "gate": GATE_MM,
        **errors,
        "train_scenes": arguments.train,
        "test_scenes": arguments.test,
        "seeds": {"train": TRAIN_SEED, "test": TEST_SEED},
        "encoder_id": encoder.encoder_id,
        "encoder_hash": encoder.weights_hash,
        "machine": machine(),
        "commit": commit(),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    plot_errors(distances, arguments.plot or arguments.encoder / "probe.png")
    print(json.dumps({"passed": passed, **errors}, indent=1))


if __name__ == "__main__":
    main()
