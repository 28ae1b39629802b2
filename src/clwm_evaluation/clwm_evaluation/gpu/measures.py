"""What `clwm bench gpu` measures: calls against the roofline, blocking latency, memory over time, streams side by side.

Random weights: time and memory do not depend on what a policy has learned. Needs torch and numpy, no ROS.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clwm_evaluation.gpu.roofline import costs, measured_peaks, timed
from clwm_policy.backends.calls import CALLS, OBSERVATION, examples
from clwm_policy.backends.flat_model import FlatModel
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
        language=made(config.text_width),
    )


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
