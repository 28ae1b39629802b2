"""The measurement of full-size models, at a tiny size on the CPU."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clwm_evaluation.gpu.process import SIZES, as_text, main
from clwm_evaluation.gpu.roofline import Cost, Peaks, costs
from clwm_policy.backends.calls import CALLS
from clwm_policy.model.sizes import PRESETS

SRC = Path(__file__).resolve().parents[3] / "src"
QUICK = ["--device", "cpu", "--size", "tiny", "--updates", "8", "--repeats", "2", "--no-compile"]


def test_it_runs_from_a_plain_folder_without_ros(tmp_path):
    path = tmp_path / "report.json"
    code = (
        "import sys; from clwm_evaluation.gpu.process import main; code = main(sys.argv[1:])\n"
        "print('loaded', [m for m in ('rclpy', 'clwm_msgs', 'rich', 'typer') if m in sys.modules])\n"
        "sys.exit(code)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ":".join(str(SRC / name) for name in ("clwm_common", "clwm_policy", "clwm_evaluation")),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *QUICK, "--json", str(path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded []\n")
    report = json.loads(path.read_text())
    assert set(report["calls"]) == set(CALLS)
    assert all(row["eager_ms"] > 0.0 and row["floor_ms"] > 0.0 for row in report["calls"].values())
    assert set(report["blocking"]) == {"sequential", "fixed:0.5", "adaptive, corrected", "adaptive, refined"}
    assert report["memory"]["updates"] == 8 and report["memory"]["finite"]
    assert "streams need CUDA" in report["overlap"]["why_not"]
    assert "action_velocity" in as_text(report)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_device_it_says_so_and_what_runs_instead(capsys):
    assert main(["--size", "wan5b"]) == 2
    said = capsys.readouterr().err
    assert "no CUDA device" in said and "--device cpu --size tiny" in said


def test_operations_are_those_of_the_matrix_products():
    config = SIZES["tiny"]
    w, f, r, rows = config.width, config.ffn_width, config.memory_rank, config.chunk_rows
    known = config.visual_tokens + 2 + config.executed_tokens + config.video_tokens
    block = 4 * w * w + 2 * w * f + 2 * w * r + 8 * r * r  # projections, feed-forward, memory's query, output, reading
    attention = 2 * (known + rows) * w
    stage = config.action_dim * w + 2 * w * w + w * config.action_dim  # in, both of the flow time, out
    expected = 2 * rows * (config.layers * (block + attention) + stage)
    assert costs(config, torch.float32)["action_velocity"].flops == expected


def test_a_write_moves_only_the_weights_of_the_memory():
    config = SIZES["tiny"]
    w, r, layers = config.width, config.memory_rank, config.layers
    tokens = config.visual_tokens + 2 + config.executed_tokens
    state, projections = 8 * r * r, 2 * w * r + 1
    # The state is read, compared with where it started, and written.
    assert costs(config, torch.float32)["write"].bytes == 4 * layers * (3 * state + projections + tokens * w)


def test_full_size_is_costed_without_a_single_weight():
    found = costs(replace(PRESETS["wan5b"], layers=2), torch.bfloat16)  # every layer adds the same
    peaks = Peaks(flops=1e15, bandwidth=4.8e12)
    step = found["action_velocity"]
    assert step.bytes / peaks.bandwidth == peaks.floor(step) > step.flops / peaks.flops  # bound by memory
    encode = found["encode_context"]
    assert encode.flops / peaks.flops == peaks.floor(encode)  # bound by compute


def test_the_floor_is_the_slower_of_computing_and_moving():
    peaks = Peaks(flops=10.0, bandwidth=2.0)
    assert peaks.floor(Cost(flops=20, bytes=2)) == 2.0
    assert peaks.floor(Cost(flops=20, bytes=8)) == 4.0
