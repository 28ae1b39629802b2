"""Trains the nano encoder, of the DINOv3 architecture and from scratch, on the simulator's key points.

`python -m clwm_embodichain.training.encoder.train --out models/nano/encoder`, after both
commands of `data.py`; a second start resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DINOv3ViTModel

from clwm_embodichain.training.encoder.data import EncoderDataError, Frames, concatenate, load_frames, object_poses
from clwm_embodichain.training.encoder.heads import Supervision, pose_errors, pose_loss, unscale_poses
from clwm_embodichain.training.encoder.model import REGISTERS, TrainingConfig, build_model, whiten_patches
from clwm_embodichain.training.finite_steps import TrainingDiverged
from clwm_embodichain.training.muon import Muon
from clwm_embodichain.training.states import StateError, TrainingStates
from clwm_embodichain.training.trainer import Trainer, moving_average
from clwm_perception.backends import PooledEncoder, export_graph, picture_shape, pool_tokens
from clwm_perception.checkpoint import encoder_inputs, open_checkpoint
from clwm_perception.preprocess import Preprocessing

EVALUATED = 100  # held-out scenes looked at between steps: enough to see the trend, 2 % of the time
_CLIP = 5.0
_EMA_RAMP = 10.0
_IN_NO_CURVE = ("gradient_norm", "rate")


class FramePool:
    """Training pictures in memory. `refresh` takes in files that have appeared since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: list[str] = []
        self._parts: list[Frames] = []
        self.refresh()
        concatenate(self._parts[:1])

    def refresh(self) -> None:
        for path in sorted(self._folder.glob("*.npz")):
            if path.name not in self._names:
                self._parts.append(load_frames(path))
                self._names.append(path.name)
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, indices: np.ndarray) -> Frames:
        """The frames of these numbers, as copies."""
        parts = np.searchsorted(self._starts, indices, side="right") - 1
        chosen = [
            (self._parts[part], int(index - self._starts[part])) for part, index in zip(parts, indices, strict=True)
        ]
        return Frames(
            *(
                np.stack([getattr(p, name)[i] for p, i in chosen])
                for name in ("images", "keypoints", "present", "pixels")
            )
        )


class EncoderTrainer(Trainer):
    """A step is a batch that depends on nothing but the seed, the number of steps and the pool."""

    def __init__(self, config: TrainingConfig, pool: FramePool) -> None:
        self.config = config
        self.pool = pool
        self.curve: list[dict[str, float]] = []
        model = build_model(config).train()
        self.supervision = Supervision(config.channels, config.grid, config.pool, config.image_size)
        self._preprocess = Preprocessing((config.image_size, config.image_size))
        rng = np.random.default_rng(config.seed)
        sample = pool.take(rng.integers(0, len(pool), min(256, len(pool)))).images
        whiten_patches(model, self._preprocess(sample.reshape(-1, *sample.shape[2:])))
        matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2]
        others = [weight for weight in model.parameters() if weight.ndim != 2]
        optimisers = [
            Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay),
            torch.optim.AdamW(
                [*others, *self.supervision.parameters()],
                lr=config.learning_rate / 2,
                betas=(0.9, 0.98),
                weight_decay=0.0,
            ),
        ]
        average = moving_average(model, config.ema, _EMA_RAMP)
        super().__init__(model, optimisers, _CLIP, time.monotonic, average, head=self.supervision)
        self.ema.requires_grad_(False)

    @property
    def progress(self) -> float:
        return min(1.0, self.steps_done / self.config.steps)

    def grids(self, model: DINOv3ViTModel, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Patch grid (n, grid, grid, C) and pooled grid of pictures (n, height, width, 3)."""
        side = self.config.grid
        tokens = model(pixel_values=self._preprocess(images)).last_hidden_state[:, 1 + REGISTERS :]
        return tokens.unflatten(1, (side, side)), pool_tokens(tokens, side, side, self.config.pool)

    def losses(self) -> tuple[dict[str, Tensor], Tensor]:
        rng = np.random.default_rng([self.config.seed, 1, self.steps_done])
        found = self._losses(self.pool.take(rng.integers(0, len(self.pool), self.config.scenes)))
        total = torch.stack(list(found.values())).sum()
        return found | {"total": total}, total

    def _losses(self, frames: Frames) -> dict[str, Tensor]:
        """The weighted losses of one batch; their sum is minimised."""
        n, wrists = len(frames), len(frames) // 2
        images = np.concatenate([frames.images[:, 0], frames.images[:wrists, 1], frames.images[:wrists, 2]])
        pixels = torch.from_numpy(
            np.concatenate([frames.pixels[:, 0], frames.pixels[:wrists, 1], frames.pixels[:wrists, 2]])
        )
        present = torch.from_numpy(frames.present)
        everywhere = torch.cat([present, present[:wrists], present[:wrists]])
        poses = torch.from_numpy(object_poses(frames.keypoints)).float()
        patches, pooled = self.grids(self.model, images)
        heads = self.supervision
        patch_class, patch_offset = heads.local_loss(heads.patch, patches, pixels, everywhere)
        cell_class, cell_offset = heads.local_loss(heads.cell, pooled, pixels, everywhere)
        together = torch.stack([pooled[:wrists], pooled[n : n + wrists], pooled[n + wrists :]], dim=1)
        return {
            "patch_class": 0.5 * patch_class,
            "patch_offset": 1.0 * patch_offset,
            "cell_class": 0.5 * cell_class,
            "cell_offset": 6.0 * cell_offset,
            "head_pose": 3.0 * pose_loss(heads.head_pose(pooled[:n]), poses, present),
            "all_pose": 1.5 * pose_loss(heads.all_pose(together), poses[:wrists], present[:wrists]),
        }

    def on_left_out(self) -> None:
        self.steps_done += 1  # the same batch would be left out again

    def rate(self, base: float) -> float:
        """Linear warm-up, constant, linear fall to zero."""
        config = self.config
        rest = (config.steps - self.steps_done) / max(1.0, config.cool_down * config.steps)
        return base * float(np.clip(min((self.steps_done + 1) / config.warm_up, rest), 0.0, 1.0))

    @torch.no_grad()
    def evaluate(self, frames: Frames) -> dict[str, float]:
        """Median errors of the averaged weights: key points in pixels per kind of camera, objects in mm and degrees."""
        heads, result = self.supervision, {}
        poses, pixel_errors = [], [[], []]
        for start in range(0, len(frames), 32):
            part = slice(start, start + 32)
            for camera in range(3):
                _, pooled = self.grids(self.ema, frames.images[part, camera])
                pixels = torch.from_numpy(frames.pixels[part, camera])
                _, visible = heads.positions(pixels, torch.from_numpy(frames.present[part]), pooled.shape[1])
                error = (heads.locate(heads.cell, pooled) - pixels).norm(dim=-1)
                pixel_errors[min(camera, 1)].append(error[visible])
                if camera == 0:
                    poses.append(unscale_poses(heads.head_pose(pooled)))
        result["head_px"], result["wrist_px"] = (float(torch.cat(errors).median()) for errors in pixel_errors)
        return result | pose_errors(torch.cat(poses).numpy(), object_poses(frames.keypoints), frames.present)

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "config": asdict(self.config),
            "curve": self.curve,
            "heads": self.supervision.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Raises ValueError for a network of another size. States of earlier releases have `step`."""
        for name in ("channels", "layers", "heads", "patch", "image_size", "pool"):
            if state["config"][name] != getattr(self.config, name):
                raise ValueError(
                    f"checkpoint has {name}={state['config'][name]}, this run {getattr(self.config, name)}; "
                    "choose another --run folder"
                )
        super().resume({"steps_done": state.get("step"), "torch_rng": torch.get_rng_state()} | state)
        self.curve = state["curve"]
        self.supervision.load_state_dict(state["heads"])


def save_encoder(trainer: EncoderTrainer, folder: Path, facts: dict) -> None:
    """Write the averaged weights as a Hugging Face folder with `clwm.json`."""
    side = trainer.config.image_size
    trainer.ema.save_pretrained(folder, safe_serialization=True)
    whole = facts | {"inputs": encoder_inputs(Preprocessing((side, side)))}
    (folder / "clwm.json").write_text(json.dumps(whole, indent=2) + "\n")


def save_graph(folder: Path, pool: int) -> None:
    """Add `encoder.onnx` to a saved encoder, so that machines without the export packages can use ONNX Runtime.

    Raises EncoderError when this machine lacks them itself.
    """
    checkpoint = open_checkpoint(folder)
    network = PooledEncoder(checkpoint.load_model(), pool).eval()
    export_graph(network, picture_shape(checkpoint), folder / "encoder.onnx", checkpoint.weights_hash)


def plot_curve(curve: list[dict[str, float]], path: Path) -> None:
    """Loss, and held-out errors against the gate, over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    steps = [row["step"] for row in curve]
    for name in ("total", "patch_class", "cell_class", "cell_offset", "head_pose", "all_pose"):
        left.semilogy(steps, [row[name] for row in curve], label=name)
    left.set(xlabel="step", ylabel="training loss (weighted)")
    for name, label in (
        ("tray_mm", "tray, mm"),
        ("block_mm", "block, mm"),
        ("pad_mm", "pad, mm"),
        ("head_px", "key points, px"),
    ):
        right.semilogy(steps, [row[name] for row in curve], label=label)
    right.axhline(8.0, color="grey", linestyle=":")
    right.set(xlabel="step", ylabel="held-out median error, head camera")
    left.legend(fontsize=7)
    right.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    try:
        _train()
    except (EncoderDataError, StateError, TrainingDiverged) as error:
        sys.exit(f"error: {error}")


def _train() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("out/encoder_data"))
    parser.add_argument("--held-out", type=Path, default=Path("out/encoder_held_out/scenes_000.npz"))
    parser.add_argument("--run", type=Path, default=Path("out/encoder_run"))
    parser.add_argument("--out", type=Path, help="write the finished encoder here, e.g. models/nano/encoder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report-every", type=int, default=100)
    for name, value in asdict(TrainingConfig()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    config = TrainingConfig(**{name: arguments[name] for name in asdict(TrainingConfig())})
    torch.set_num_threads(arguments["threads"])
    run = arguments["run"]
    run.mkdir(parents=True, exist_ok=True)
    trainer = EncoderTrainer(config, FramePool(arguments["data"]))
    held_out = load_frames(arguments["held_out"]).first(EVALUATED)
    states = TrainingStates(run, "state")
    resumed = states.resume(trainer.resume)
    for skipped in resumed.skipped:
        print(f"skipped: {skipped}", flush=True)
    if resumed.path is not None:
        print(f"resumed {resumed.path.name} at step {trainer.steps_done}", flush=True)
    recent: list[dict[str, float]] = []
    while trainer.progress < 1.0:
        if (losses := trainer.step()) is None:
            print(f"step {trainer.steps_done} left out: its loss or gradient is not finite", flush=True)
        else:
            recent.append({name: value for name, value in losses.items() if name not in _IN_NO_CURVE})
        is_due = trainer.steps_done % arguments["report_every"] == 0 or trainer.progress == 1.0
        if not (recent and is_due):
            continue
        row = {"step": trainer.steps_done, "seconds": round(trainer.seconds, 1), "frames": len(trainer.pool)}
        row |= {name: float(np.mean([losses[name] for losses in recent])) for name in recent[0]}
        row |= trainer.evaluate(held_out)
        trainer.curve.append(row)
        recent = []
        states.save(
            trainer.steps_done, trainer.state(), is_best=row["head_px"] <= min(r["head_px"] for r in trainer.curve)
        )
        (run / "curve.json").write_text(json.dumps(trainer.curve, indent=1) + "\n")
        plot_curve(trainer.curve, run / "curve.png")
        print(" ".join(f"{name}={value:.4g}" for name, value in row.items()), flush=True)
        trainer.pool.refresh()
    if arguments["out"]:
        facts = {
            "id": "clwm-nano-encoder",
            "pool": config.pool,
            "architecture": "DINOv3 ViT, trained from random weights on simulator key points; not Meta's weights",
            "training": asdict(config) | {"seconds": round(trainer.seconds), "frames": 3 * len(trainer.pool)},
            "held_out": trainer.evaluate(held_out),
            "commands": [
                "python -m clwm_embodichain.training.encoder.data",
                "python -m clwm_embodichain.training.encoder.data --held-out",
                "python -m clwm_embodichain.training.encoder.train --out models/nano/encoder",
                "python -m clwm_embodichain.training.encoder.probe",
            ],
        }
        save_encoder(trainer, arguments["out"], facts)
        save_graph(arguments["out"], config.pool)
        plot_curve(trainer.curve, arguments["out"] / "training.png")


if __name__ == "__main__":
    main()
