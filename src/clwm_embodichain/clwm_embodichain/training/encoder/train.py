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

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DINOv3ViTModel

from clwm_embodichain.training.encoder.data import EncoderDataError, Frames, concatenate, load_frames, object_poses
from clwm_embodichain.training.encoder.heads import Supervision, pose_errors, pose_loss, unscale_poses
from clwm_embodichain.training.encoder.model import REGISTERS, TrainingConfig, build_model, whiten_patches
from clwm_embodichain.training.finite_steps import FiniteSteps, TrainingDiverged
from clwm_embodichain.training.muon import Muon
from clwm_embodichain.training.states import StateError, TrainingStates
from clwm_perception.backends import PooledEncoder, export_graph, picture_shape, pool_tokens
from clwm_perception.checkpoint import encoder_inputs, open_checkpoint
from clwm_perception.preprocess import Preprocessing

EVALUATED = 100  # held-out scenes looked at between steps: enough to see the trend, 2 % of the time


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


class Trainer:
    """One training run, resumable: everything that a step depends on is in `state`."""

    def __init__(self, config: TrainingConfig, pool: FramePool) -> None:
        self.config = config
        self.pool = pool
        self.step = 0
        self.seconds = 0.0
        self._finite = FiniteSteps()
        self.curve: list[dict[str, float]] = []
        self.model = build_model(config).train()
        self.ema = build_model(config).eval().requires_grad_(False)
        self.supervision = Supervision(config.channels, config.grid, config.pool, config.image_size)
        self._preprocess = Preprocessing((config.image_size, config.image_size))
        rng = np.random.default_rng(config.seed)
        sample = pool.take(rng.integers(0, len(pool), min(256, len(pool)))).images
        whiten_patches(self.model, self._preprocess(sample.reshape(-1, *sample.shape[2:])))
        self.ema.load_state_dict(self.model.state_dict())
        matrices = [weight for name, weight in self.model.named_parameters() if weight.ndim == 2]
        others = [weight for weight in self.model.parameters() if weight.ndim != 2]
        self._optimisers = [
            Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay),
            torch.optim.AdamW(
                [*others, *self.supervision.parameters()],
                lr=config.learning_rate / 2,
                betas=(0.9, 0.98),
                weight_decay=0.0,
            ),
        ]
        self._base_rates = [group["lr"] for optimiser in self._optimisers for group in optimiser.param_groups]

    def grids(self, model: DINOv3ViTModel, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Patch grid (n, grid, grid, C) and pooled grid of pictures (n, height, width, 3)."""
        side = self.config.grid
        tokens = model(pixel_values=self._preprocess(images)).last_hidden_state[:, 1 + REGISTERS :]
        return tokens.unflatten(1, (side, side)), pool_tokens(tokens, side, side, self.config.pool)

    def losses(self, frames: Frames) -> dict[str, Tensor]:
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

    def advance(self) -> dict[str, float] | None:
        """One optimisation step on a batch that depends on nothing but the seed, the step and the pool.

        None when a loss or the gradient was not finite: no weight is changed then. Raises TrainingDiverged when that
        happens ten times in a row.
        """
        config = self.config
        started = time.monotonic()
        rng = np.random.default_rng([config.seed, 1, self.step])
        losses = self.losses(self.pool.take(rng.integers(0, len(self.pool), config.scenes)))
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        norm = nn.utils.clip_grad_norm_([*self.model.parameters(), *self.supervision.parameters()], 5.0)
        found = {name: value.item() for name, value in losses.items()} | {"total": total.item()}
        if not self._finite.may_take(found | {"gradient_norm": float(norm)}):
            for optimiser in self._optimisers:
                optimiser.zero_grad()
            self.step += 1
            self.seconds += time.monotonic() - started
            return None
        groups = [group for optimiser in self._optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self._base_rates, strict=True):
            group["lr"] = rate * self.schedule()
        for optimiser in self._optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.step += 1
        decay = min(config.ema, self.step / (10.0 + self.step))
        with torch.no_grad():
            for kept, weight in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(weight, 1.0 - decay)
        self.seconds += time.monotonic() - started
        return found

    def schedule(self) -> float:
        """Factor of the learning rate: linear warm-up, constant, linear fall to zero."""
        config = self.config
        rest = (config.steps - self.step) / max(1.0, config.cool_down * config.steps)
        return float(np.clip(min((self.step + 1) / config.warm_up, rest), 0.0, 1.0))

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

    def state(self) -> dict:
        return {
            "config": asdict(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "heads": self.supervision.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
        }

    def restore(self, state: dict) -> None:
        """Continue from `state`. Raises ValueError when it belongs to a network of another size."""
        for name in ("channels", "layers", "heads", "patch", "image_size", "pool"):
            if state["config"][name] != getattr(self.config, name):
                raise ValueError(
                    f"checkpoint has {name}={state['config'][name]}, this run {getattr(self.config, name)}; "
                    "choose another --run folder"
                )
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.supervision.load_state_dict(state["heads"])
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)


def save_encoder(trainer: Trainer, folder: Path, facts: dict) -> None:
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
    trainer = Trainer(config, FramePool(arguments["data"]))
    held_out = load_frames(arguments["held_out"]).first(EVALUATED)
    states = TrainingStates(run, "state")
    resumed = states.resume(trainer.restore)
    for skipped in resumed.skipped:
        print(f"skipped: {skipped}", flush=True)
    if resumed.path is not None:
        print(f"resumed {resumed.path.name} at step {trainer.step}", flush=True)
    recent: list[dict[str, float]] = []
    while trainer.step < config.steps:
        if (losses := trainer.advance()) is None:
            print(f"step {trainer.step} left out: its loss or gradient is not finite", flush=True)
        else:
            recent.append(losses)
        is_due = trainer.step % arguments["report_every"] == 0 or trainer.step == config.steps
        if not (recent and is_due):
            continue
        row = {"step": trainer.step, "seconds": round(trainer.seconds, 1), "frames": len(trainer.pool)}
        row |= {name: float(np.mean([losses[name] for losses in recent])) for name in recent[0]}
        row |= trainer.evaluate(held_out)
        trainer.curve.append(row)
        recent = []
        states.save(trainer.step, trainer.state(), is_best=row["head_px"] <= min(r["head_px"] for r in trainer.curve))
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
