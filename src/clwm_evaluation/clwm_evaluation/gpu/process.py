"""`python -m clwm_evaluation.gpu.process`: time and memory of the model at full size, with torch and pydantic alone.

    PYTHONPATH=src/clwm_common:src/clwm_policy:src/clwm_evaluation python -m clwm_evaluation.gpu.process --json FILE

Needs torch, numpy and safetensors; no ROS and nothing built. `clwm bench gpu` is the same with a plot.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clwm_common.provenance import commit, machine
from clwm_evaluation.gpu.roofline import costs, measured_peaks, timed
from clwm_policy.backends.calls import CALLS, OBSERVATION, examples
from clwm_policy.backends.flat_model import FlatModel
from clwm_policy.backends.placement import random_model
from clwm_policy.backends.segments import Segment, Segments, as_it_is, cuda_graph, why_no_cuda
from clwm_policy.engine.encoded import Conditions, Draw, Encoded, Previewed
from clwm_policy.engine.program import Refined, Resumed, Sequential, begin, verify
from clwm_policy.engine.re_entry import Plan, Point
from clwm_policy.engine.refinement import refinements
from clwm_policy.model.clwm import Clwm
from clwm_policy.model.flow import noise
from clwm_policy.model.sizes import PRESETS, ClwmConfig

SIZES = {
    "tiny": ClwmConfig(width=32, layers=2, heads=2, ffn_width=64, memory_rank=8, feature_channels=8, text_width=16),
    **PRESETS,
}
COMPILED = ("video_velocity", "action_velocity")  # the repeated ones; compiling every call would take most of an hour
PREFIX = 4  # committed rows

Say = Callable[[str], None]
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


def call_times(
    model: Clwm, segments: Segments, device: torch.device, dtype: torch.dtype, repeats: int, compiled: bool, say: Say
) -> dict[str, Any]:
    """Ms of every call, launched one by one, replayed as a graph, compiled and replayed, beside its floor."""
    peaks = measured_peaks(device, dtype)
    floors = costs(model.config, dtype)
    capture = cuda_graph if device.type == "cuda" else as_it_is
    rows = {}
    for name, example in examples(model).items():
        say(f"timing {name}")
        call, cost = CALLS[name], floors[name]

        def eager(tensors: list[Tensor], call: Any = call) -> list[Tensor]:
            return call(model, tensors)

        with torch.inference_mode():
            row = {"eager_ms": 1e3 * timed(lambda: eager(example.given), device, repeats)}  # noqa: B023
            row["graph_ms"] = 1e3 * timed(segments.of[name].replay, device, repeats) if device.type == "cuda" else None
            row["compiled_ms"] = None
            if compiled and name in COMPILED:
                say(f"compiling {name}")
                segment = Segment(torch.compile(eager, dynamic=False), example.given, capture)
                row["compiled_ms"] = 1e3 * timed(segment.replay, device, repeats)
        best = min(value for value in row.values() if value is not None)
        floor = 1e3 * peaks.floor(cost)
        bound = "compute" if cost.flops / peaks.flops > cost.bytes / peaks.bandwidth else "memory"
        row |= {"floor_ms": floor, "bound": bound, "best_over_floor": best / floor}
        rows[name] = row | {"flops": cost.flops, "bytes": cost.bytes}
    return {"peak_tflops": peaks.flops / 1e12, "bandwidth_gb_s": peaks.bandwidth / 1e9, "calls": rows}


def blocking_latency(flat: FlatModel, plan: Plan, repeats: int, say: Say) -> dict[str, Any]:
    """Ms from the observation to the finished chunk, in turns.

    Sequential, resumed half-way, and corrected: alone, and refined by the most evaluations that ever are.
    """
    names = ("sequential", "fixed:0.5", "adaptive, corrected", "adaptive, refined")
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats + 1):
        say(f"blocking latency {repeat}/{repeats}")
        for name, found in times.items():
            seconds = _blocking(flat, plan, name, repeat)
            if repeat:  # the first of each warms up
                found.append(1e3 * seconds)
    medians = {name: float(np.median(found)) for name, found in times.items()}
    return {
        name: {
            "p50_ms": medians[name],
            "p95_ms": float(np.quantile(found, 0.95)),
            "of_sequential": medians[name] / medians["sequential"],
        }
        for name, found in times.items()
    }


@torch.inference_mode()
def _blocking(flat: FlatModel, plan: Plan, mode: str, seed: int) -> float:
    config, memory = flat.config, flat.initial_memory(1)
    draw = Draw(
        noise(seed, 0, (1, config.visual_tokens, config.feature_channels), "video"),
        noise(seed, 0, (1, config.chunk_rows, config.action_dim), "action"),
        torch.zeros(1, PREFIX, config.action_dim),
    )
    verifies = mode.startswith("adaptive")
    most, *_, end = refinements(plan)
    kind = Previewed if verifies else Encoded
    draft = begin(kind(flat, plan, memory, _conditions(config, seed), draw))
    goal = {"sequential": Point(), "fixed:0.5": Point(plan.video_steps, plan.action_steps // 2)}.get(mode, end)
    while draft.point < goal:
        draft.advance()
    _wait()
    started = time.perf_counter()
    encoded = kind(flat, plan, memory, _conditions(config, seed + 1), draw)
    if verifies:
        program = Refined(verify(encoded, draft.finished), most if mode == "adaptive, refined" else end)
    else:
        program = Sequential(encoded) if mode == "sequential" else Resumed(encoded, draft, goal)
    while program.advance() is not None:
        pass
    # Results of a chunk are on the CPU: nothing of it is still running.
    return time.perf_counter() - started


@torch.inference_mode()
def memory_over_time(flat: FlatModel, device: torch.device, updates: int, say: Say) -> dict[str, Any]:
    """Bytes held and ms of encoding and writing over `updates` observations; a KV cache's size beside it."""
    config, memory = flat.config, flat.initial_memory(1)
    window = max(updates // 20, 1)
    observations = [_conditions(config, seed) for seed in range(8)]
    seconds, held = [], []
    for update in range(updates):
        c = observations[update % len(observations)]
        _wait()
        started = time.perf_counter()
        context = flat.encode_context(memory, *(getattr(c, name) for name in OBSERVATION))
        memory = flat.write(memory, context)
        del context
        _wait()
        seconds.append(time.perf_counter() - started)
        held.append(_held(device))
        if (update + 1) % max(updates // 10, 1) == 0:
            say(f"memory {update + 1}/{updates}")
    element = 2 if device.type == "cuda" else 4
    tokens = config.visual_tokens + 2 + config.executed_tokens
    per_observation = tokens * 2 * config.width * config.layers * element
    return {
        "updates": updates,
        "w_mb": memory.nbytes / 1e6,
        "growth_mb": (held[-1] - held[min(window, updates - 1)]) / 1e6,
        "first_ms": 1e3 * float(np.median(seconds[window : 2 * window] or seconds)),
        "last_ms": 1e3 * float(np.median(seconds[-window:])),
        "finite": all(bool(torch.isfinite(w).all()) for pair in memory.layers for w in pair),
        "kv_cache_mb_computed": updates * per_observation / 1e6,
    }


@torch.inference_mode()
def stream_overlap(segments: Segments, device: torch.device, repeats: int) -> dict[str, Any]:
    """Ms of encoding an observation while ten action steps run: one after the other, and on two streams."""
    if device.type != "cuda":
        return {"serial_ms": None, "overlapped_ms": None, "why_not": f"streams need CUDA: {why_no_cuda()}"}
    encode, step = segments.of["encode_context"].replay, segments.of["action_velocity"].replay
    side = torch.cuda.Stream()

    def serial() -> None:
        encode()
        for _ in range(10):
            step()

    def overlapped() -> None:
        main = torch.cuda.current_stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            encode()
        for _ in range(10):
            step()
        main.wait_stream(side)

    one, two = (1e3 * timed(work, device, repeats) for work in (serial, overlapped))
    return {"serial_ms": one, "overlapped_ms": two, "saved": 1.0 - two / one, "why_not": None}


def capture_all(model: Clwm, device: torch.device) -> Segments:
    """Every call with fixed inputs, as CUDA graphs where there is CUDA."""
    return Segments(model, cuda_graph if device.type == "cuda" else as_it_is)


def _conditions(config: ClwmConfig, seed: int) -> Conditions:
    generator = torch.Generator().manual_seed(seed)

    def made(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator)

    return Conditions(
        features=made(config.visual_tokens, config.feature_channels),
        proprioception=made(config.proprioception_width),
        executed=made(12, config.action_dim),
        executed_mask=torch.ones(1, 12, dtype=torch.bool),
        language=made(config.language_width),
    )


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def title(report: dict[str, Any]) -> str:
    return f"{report['size']}, {report['parameters'] / 1e6:.1f} M parameters, {report['dtype']}, {report['device']}"


def sentences(report: dict[str, Any]) -> list[str]:
    """What the report says beside its table of calls."""
    memory, overlap = report["memory"], report["overlap"]
    return [
        *(
            f"blocking, {name}: p50 {row['p50_ms']:.2f} ms, {row['of_sequential']:.2f} of sequential"
            for name, row in report["blocking"].items()
        ),
        f"memory: {memory['growth_mb']:+.2f} MB over {memory['updates']} updates, {memory['first_ms']:.2f} ms first, "
        f"{memory['last_ms']:.2f} ms last; a KV cache would hold {memory['kv_cache_mb_computed']:.0f} MB",
        f"streams: {overlap['why_not']}"
        if overlap["why_not"]
        else f"streams: {overlap['serial_ms']:.2f} ms in turn, {overlap['overlapped_ms']:.2f} ms side by side",
    ]


def as_text(report: dict[str, Any]) -> str:
    """A table without a library for tables."""
    lines = [title(report), f"{'call':<20}" + "".join(f"{name:>16}" for name in COLUMNS) + "  bound by"]
    for name, row in report["calls"].items():
        cells = ("-" if row[column] is None else f"{row[column]:.3f}" for column in COLUMNS)
        lines.append(f"{name:<20}" + "".join(f"{cell:>16}" for cell in cells) + f"  {row['bound']}")
    return "\n".join([*lines, *sentences(report)])


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
