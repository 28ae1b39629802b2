"""Trains an encoder of the DINOv3 architecture from scratch, on the simulator's scenes in random looks.

`python -m clwm_embodichain.training.encoder.train --out models/next/encoder`, while or after `render` writes pictures;
a second start of the same --run folder resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.encoder.data import EncoderDataError, FramePool, Frames, read_shard, stack, write_shard
from clwm_embodichain.training.encoder.model import TrainingConfig
from clwm_embodichain.training.encoder.render import SCHEDULE, Photographer, frames_of
from clwm_embodichain.training.encoder.states import RollOuts
from clwm_embodichain.training.encoder.trainer import EncoderTrainer
from clwm_embodichain.training.finite_steps import TrainingDiverged
from clwm_embodichain.training.loop import resume, run_training
from clwm_embodichain.training.states import StateError, TrainingStates
from clwm_perception.backends import PooledEncoder, export_graph, picture_shape
from clwm_perception.checkpoint import encoder_inputs, open_checkpoint
from clwm_perception.preprocess import Preprocessing
from clwm_sim.world import ROBOT

HELD_OUT_SEED = 1_000_000  # seeds of training begin at 0
HELD_OUT_STATES = 20  # of each scene, looked at between steps
KEEP_MINUTES = 4.0
GRAPH_BYTES = 6_000_000  # a larger one is exported where it is used
_FAMILIES = {"vit": "ViT", "convnext": "ConvNeXt"}
_PANELS = (
    (
        ("block_mm", "pad_mm", "bar_mm", "lever_mm", "tray_mm", "pot_mm", "tool_mm"),
        "held-out median error, mm",
        "log",
    ),
    (("block_deg", "bar_deg", "lever_deg", "tray_deg", "pot_deg"), "held-out median error, degrees", "log"),
    (("total", "pose", "cell_pose", "cell_class", "segment", "distillation"), "training loss", "log"),
    (("looks_apart", "feature_std", "effective_rank"), "features", "log"),
)


def held_out(run: Path, image_size: int, mounting: float) -> Frames:
    """States and looks that no training sees, of all scenes; rendered at the first call, to a file of the run."""
    path = run / ("held_out-0.npz" if mounting == 1.0 else f"held_out-0-mounting-{mounting:g}.npz")
    if not path.is_file():
        robot = RobotDescription.load(ROBOT)
        roll_outs, photographer = RollOuts(robot), Photographer(robot, image_size, mounting)
        scenes = sorted(set(SCHEDULE))
        parts = (
            frames_of(roll_outs, photographer, scene, HELD_OUT_STATES, [HELD_OUT_SEED, number], [1.0, 1.0])
            for number, scene in enumerate(scenes)
        )
        write_shard(path, stack(parts))
        photographer.close()
    return read_shard(path)


def save_encoder(trainer: EncoderTrainer, folder: Path, facts: dict) -> None:
    """Write the averaged weights in half precision as a Hugging Face folder with `clwm.json`, and a graph if small."""
    side = trainer.config.image_size
    weights = {name: weight.half() for name, weight in trainer.ema.state_dict().items()}
    trainer.ema.save_pretrained(folder, state_dict=weights, safe_serialization=True)
    whole = facts | {"inputs": encoder_inputs(Preprocessing((side, side)))}
    (folder / "clwm.json").write_text(json.dumps(whole, indent=2) + "\n")


def save_graph(folder: Path, pool: int) -> None:
    """Add `encoder.onnx` to a saved encoder, so that machines without the export packages can use ONNX Runtime; a large
    one is left out. Raises EncoderError when this machine lacks the packages itself.
    """
    checkpoint = open_checkpoint(folder)
    network = PooledEncoder(checkpoint.load_model(), pool).eval()
    graph = folder / "encoder.onnx"
    export_graph(network, picture_shape(checkpoint), graph, checkpoint.weights_hash)
    if graph.stat().st_size > GRAPH_BYTES:
        graph.unlink()


def facts_of(trainer: EncoderTrainer, errors: dict[str, float], initial: Path | None) -> dict:
    """What clwm.json says of an encoder's making; errors: on held-out states; initial: what its weights began as."""
    before = {} if initial is None else {"began_as": json.loads((initial / "clwm.json").read_text())["training"]}
    return before | {
        "id": "clwm-next-encoder",
        "pool": trainer.config.pool,
        "architecture": f"DINOv3 {_FAMILIES[trainer.config.family]}, trained from random weights on simulated scenes; "
        "not Meta's weights",
        "training": asdict(trainer.config) | {"seconds": round(trainer.seconds), "steps_done": trainer.steps_done},
        "held_out": {name: round(value, 3) for name, value in errors.items()},
        "commands": [
            f"python -m clwm_embodichain.training.encoder.render --mounting {trainer.config.mounting:g}",
            "python -m clwm_embodichain.training.encoder.train --out models/next/encoder",
            "python -m clwm_embodichain.training.encoder.probe",
        ],
    }


def main() -> None:
    try:
        _train()
    except (EncoderDataError, StateError, TrainingDiverged, ValueError) as error:
        sys.exit(f"error: {error}")


def _train() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("out/encoder_data"))
    parser.add_argument("--run", type=Path, default=Path("out/encoder_run"))
    parser.add_argument("--out", type=Path, help="write the encoder here whenever it is kept, e.g. models/next/encoder")
    parser.add_argument("--initial", type=Path, help="encoder of the same size whose weights to begin with")
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(TrainingConfig()).items():
        kind = {"action": argparse.BooleanOptionalAction} if isinstance(value, bool) else {"type": type(value)}
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, **kind)
    arguments = vars(parser.parse_args())
    config = TrainingConfig(**{name: arguments[name] for name in asdict(TrainingConfig())})
    torch.set_num_threads(arguments["threads"])
    run, out, console = arguments["run"], arguments["out"], PlainConsole()
    frames = held_out(run, config.image_size, config.mounting)
    initial = open_checkpoint(arguments["initial"]).load_model() if arguments["initial"] else None
    trainer = EncoderTrainer(config, FramePool(arguments["data"]), initial)
    states = TrainingStates(run, "state")
    resume(states, trainer, console)
    curves = Curves(run / "curves.jsonl")

    def keep() -> None:
        states.save(trainer.steps_done, trainer.state())
        errors = trainer.evaluate(frames)
        found = {"minutes": trainer.seconds / 60, "step": trainer.steps_done} | errors
        curves.append(found)
        console.print(" ".join(f"{name}={value:.3g}" for name, value in found.items()), soft_wrap=True)
        draw_curves(run / "training.png", _PANELS, {"": run / "curves.jsonl"})
        if out is not None:
            save_encoder(trainer, out, facts_of(trainer, errors, arguments["initial"]))
            (out / "training.png").write_bytes((run / "training.png").read_bytes())

    run_training(trainer, curves, keep, KEEP_MINUTES, console)
    if out is not None:
        save_graph(out, config.pool)


if __name__ == "__main__":
    main()
