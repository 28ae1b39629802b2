"""`python -m clwm_evaluation.gpu.process`: time and memory of the model at full size, from a plain folder with torch.

    PYTHONPATH=src/clwm_common:src/clwm_policy:src/clwm_evaluation python -m clwm_evaluation.gpu.process --json FILE

Needs torch, numpy and safetensors; no ROS and nothing built. `clwm bench gpu` is the same with a plot.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clwm_common.provenance import commit, machine
from clwm_evaluation.gpu.measures import (
    SIZES,
    blocking_latency,
    call_times,
    capture_all,
    memory_over_time,
    stream_overlap,
)
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.backends.placement import random_model
from clwm_policy.backends.segments import why_no_cuda
from clwm_policy.engine.re_entry import Plan

COLUMNS = ("eager_ms", "graph_ms", "compiled_ms", "floor_ms", "best_over_floor")


class DeviceError(RuntimeError):
    """No such device here; the message says why and what runs instead."""


@dataclass(frozen=True)
class Settings:
    """updates: observations over which memory is watched. repeats: of every timing. compiled: also torch.compile."""

    size: str = "base"
    device: str = "cuda"
    updates: int = 2000
    repeats: int = 50
    compiled: bool = True
    video_steps: int = 10
    action_steps: int = 10
    seed: int = 0


def measure(settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as the JSON file has it. Raises DeviceError."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"no CUDA device: {why_no_cuda()}. `--device cpu --size tiny` runs the same code here, "
            "but says nothing about a GPU"
        )
    device = torch.device(settings.device)
    # The host only launches; beside a busy neighbour two threads are many times slower than one.
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    say(f"making {settings.size} with random weights")
    model = random_model(SIZES[settings.size], device, dtype, settings.seed)
    segments = capture_all(model, device)
    flat = FlatModel(model, segments, settings.device)
    plan = Plan(settings.video_steps, settings.action_steps)
    return {
        "measurement": "gpu",
        "size": settings.size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "video_steps": plan.video_steps,
        "action_steps": plan.action_steps,
        **call_times(model, segments, device, dtype, settings.repeats, settings.compiled, say),
        "blocking": blocking_latency(flat, plan, max(settings.repeats // 5, 3), say),
        "memory": memory_over_time(flat, device, settings.updates, say),
        "overlap": stream_overlap(segments, device, settings.repeats),
        "allocated_gb": torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None,
        "seed": settings.seed,
        "machine": machine(),
        "commit": commit(),
    }


def as_text(report: dict[str, Any]) -> str:
    """A table without a library for tables."""
    lines = [f"{report['size']}, {report['parameters'] / 1e6:.1f} M parameters, {report['dtype']}, {report['device']}"]
    lines.append(f"{'call':<20}" + "".join(f"{name:>16}" for name in COLUMNS) + "  bound by")
    for name, row in report["calls"].items():
        cells = ("-" if row[column] is None else f"{row[column]:.3f}" for column in COLUMNS)
        lines.append(f"{name:<20}" + "".join(f"{cell:>16}" for cell in cells) + f"  {row['bound']}")
    lines += [
        f"blocking, {name}: p50 {row['p50_ms']:.2f} ms, {row['of_sequential']:.2f} of sequential"
        for name, row in report["blocking"].items()
    ]
    memory, overlap = report["memory"], report["overlap"]
    lines.append(
        f"memory: {memory['growth_mb']:+.2f} MB over {memory['updates']} updates, {memory['first_ms']:.2f} ms first, "
        f"{memory['last_ms']:.2f} ms last; a KV cache would hold {memory['kv_cache_mb_computed']:.0f} MB"
    )
    lines.append(
        f"streams: {overlap['why_not']}"
        if overlap["why_not"]
        else f"streams: {overlap['serial_ms']:.2f} ms in turn, {overlap['overlapped_ms']:.2f} ms side by side"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """0; 2 when there is no such device."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default=Settings.size)
    parser.add_argument("--device", choices=("cuda", "cpu"), default=Settings.device)
    parser.add_argument("--updates", type=int, default=Settings.updates, help="observations that memory is watched for")
    parser.add_argument("--repeats", type=int, default=Settings.repeats, help="of every timing")
    parser.add_argument("--no-compile", dest="compiled", action="store_false", help="leave torch.compile out")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--json", type=Path, help="write the report here")
    options = vars(parser.parse_args(arguments))
    path = options.pop("json")
    try:
        report = measure(Settings(**options), lambda text: print(text, file=sys.stderr, flush=True))
    except DeviceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(as_text(report))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
