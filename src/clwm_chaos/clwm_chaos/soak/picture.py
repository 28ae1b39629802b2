"""The picture of a soak: the executor's memory and processor time, and stalls, over the whole run."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from clwm_chaos.soak.measure import Soak

BINS = 60


def draw_soak(soak: Soak, path: Path, title: str) -> None:
    """Write a PNG with three panels over minutes."""
    figure, (memory, processor, stalls) = plt.subplots(3, 1, figsize=(11, 7.5), sharex=True, layout="constrained")
    figure.suptitle(title)
    at = np.array([sample.at for sample in soak.samples]) / 60.0
    memory.plot(at, [sample.resident for sample in soak.samples], color="#4c72b0", label="resident")
    memory.plot(at, [sample.share for sample in soak.samples], color="#8172b3", label="its share of it")
    memory.legend(loc="center right", fontsize=8)
    memory.set_ylabel("executor memory [MB]")
    used = np.array([sample.processor for sample in soak.samples])
    if len(at) > 1:
        processor.plot(at[1:], 100.0 * np.diff(used) / (60.0 * np.diff(at)), color="#55a868", linewidth=0.8)
    processor.set_ylabel("processor [% of a core]")
    edges = np.linspace(0.0, max(at[-1] if len(at) else 0.0, 1e-3), BINS + 1)
    boundaries = np.array([instant for instant, _ in soak.boundaries]) / 60.0
    stalled = np.array([instant for instant, stall in soak.boundaries if stall > 0.0]) / 60.0
    counts, _ = np.histogram(boundaries, edges)
    stall_counts, _ = np.histogram(stalled, edges)
    share = 100.0 * stall_counts / np.maximum(counts, 1)
    stalls.bar(edges[:-1], share, width=np.diff(edges), align="edge", color="#c44e52")
    for instant, _ in soak.gaps:
        stalls.axvline(instant / 60.0, color="#222222", linewidth=0.8)
    stalls.set_ylabel("stalled boundaries [%]")
    stalls.set_xlabel("minutes; black lines: joint states missing")
    figure.savefig(path, dpi=110)
    plt.close(figure)
