"""What makes a model out of nothing: encoder, policy, calibration, graphs, suites, and the folder that is shipped."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from clwm_evaluation.reproduce.pipeline import Step
from clwm_evaluation.suites.conditions import SUITES

MODELS = ("nano",)
_COPY = "import shutil, sys; [shutil.copy2(it, sys.argv[-1]) for it in sys.argv[1:-1]]"
# Of one episode of each goal under every condition; a cue of 60 chunks is 40 s of simulated time.
_SUITE_MINUTES = {"goals": 2.0, "instructions": 1.5, "looks": 1.6, "cameras": 0.7, "physics": 1.7, "memory": 1.2}
_SHARDS = 8  # of pictures, one of each scene and a second one of the blocks


@dataclass(frozen=True)
class Budget:
    """Minutes of the two trainings, and episodes of each condition and goal, and of each task of the calibration."""

    encoder: float = 600.0
    policy: float = 600.0
    suites: int = 100
    calibration: int = 200


def steps_of(out: Path, budget: Budget, workers: int) -> list[Step]:
    """The steps to a model in `out`/model, each one a command that goes on where it was interrupted."""
    python, clwm = (sys.executable, "-m"), (sys.executable, "-m", "clwm_bringup")
    training = "clwm_embodichain.training"
    pictures, model, work = out / "pictures", out / "model", out / "work"
    encoder, policy = model / "encoder", model / "policy.safetensors"
    document, trained = policy.with_suffix(".json"), work / "policy.safetensors"
    of_model = ("--policy", str(policy), "--encoder", str(encoder))
    probe = out / "results" / "encoder_probe.json"
    made = [
        Step(
            "encoder",
            "train the image encoder on pictures that are rendered meanwhile",
            (
                *(*python, f"{training}.encoder.train", "--data", str(pictures), "--run", str(out / "encoder_run")),
                *("--out", str(encoder), "--minutes", f"{budget.encoder:g}"),
            ),
            outputs=(encoder / "model.safetensors", encoder / "clwm.json"),
            minutes=1.1 * budget.encoder,
            beside=(*python, f"{training}.encoder.render", "--out", str(pictures)),
            awaits=(pictures, _SHARDS),
        ),
        Step(
            "probe",
            "measure what the encoder's features tell, in looks that nobody has seen",
            (*python, f"{training}.encoder.probe", "--encoder", str(encoder), "--json", str(probe)),
            inputs=(encoder / "model.safetensors",),
            outputs=(probe,),
            minutes=40.0,
        ),
        Step(
            "policy",
            "train the policy on all goals, streamed with looks and recoveries",
            (
                *(*clwm, "train-policy", "--online", "--goals", "all", "--expansion", "visual,recovery"),
                *("--workers", str(workers), "--looks", "3", "--reuse", "3", "--capacity", "192", "--streams", "24"),
                *("--references", str(pictures), "--features", str(work / "features")),
                *("--encoder", str(encoder), "--out", str(work)),
                *("--export", str(trained), "--minutes", f"{budget.policy:g}"),
            ),
            inputs=(encoder / "model.safetensors",),
            outputs=(trained, trained.with_suffix(".json")),
            minutes=1.15 * budget.policy + 30.0,
        ),
        Step(
            "ship",
            "put the policy beside its encoder",
            (
                *(
                    sys.executable,
                    "-c",
                    _COPY,
                ),
                *(str(trained), str(trained.with_suffix(".json")), str(model)),
            ),
            inputs=(trained, trained.with_suffix(".json")),
            outputs=(policy, document),
            minutes=0.1,
        ),
        Step(
            "calibration",
            "measure the bounds that adaptive re-entry and the alarm trust",
            (*clwm, "calibrate", *of_model, "--tasks", "taught", "--episodes", str(budget.calibration)),
            inputs=(policy, document, encoder / "model.safetensors"),
            outputs=(model / "calibration.json",),
            minutes=3.0 * budget.calibration,
        ),
        Step(
            "graphs",
            "export the policy's calls for ONNX Runtime",
            (*clwm, "export", "--policy", str(policy)),
            inputs=(policy, document),
            outputs=(model / "policy_graphs",),
            minutes=5.0,
        ),
        Step(
            "sentences",
            "measure which sentences it knows",
            (*clwm, "bench", "sentences", "--policy", str(policy), "--json", str(out / "results" / "sentences.json")),
            inputs=(document,),
            outputs=(out / "results" / "sentences.json",),
            minutes=1.0,
        ),
    ]
    for suite in SUITES:
        report = out / "results" / f"suite_{suite}.json"
        made.append(
            Step(
                suite,
                f"evaluate it: suite {suite}",
                (
                    *(*clwm, "eval", "--suite", suite, "--policy", str(model), "--workers", str(workers)),
                    *("--episodes", str(budget.suites), "--out", str(report)),
                ),
                inputs=(policy, document, encoder / "model.safetensors"),
                outputs=(report,),
                minutes=_SUITE_MINUTES[suite] * budget.suites,
            )
        )
    return made
