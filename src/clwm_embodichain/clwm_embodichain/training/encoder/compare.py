"""Trainings of equal processor time side by side: what each has learned of the same pictures.

`python -m clwm_embodichain.training.encoder.compare --run ViT=out/vit --run ConvNeXt=out/convnext` takes their held-out
errors at the end of the shorter one, and draws their curves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clwm_common.provenance import commit, machine
from clwm_embodichain.training.curves import Curves, draw_curves
from clwm_embodichain.training.states import StateError, TrainingStates

_APART = 0.1  # share of the minutes by which two trainings may differ
_LOSSES = ("patch_class", "patch_offset", "cell_class", "cell_offset", "cell_pose", "pose", "segment", "total")
_PANELS = tuple(((name,), f"training loss: {name}", "log") for name in ("total", "patch_class", "patch_offset", "pose"))


class RunsDiffer(ValueError):
    """Trainings that cannot be compared; the message says in what they differ."""


def compare(runs: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """By name: settings, steps, minutes, losses of the last 20 steps and held-out errors when it was last kept.

    Raises RunsDiffer when one has not been kept, or was kept at another time than the first.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, folder in runs.items():
        records = Curves(folder / "curves.jsonl").records()
        kept = [record for record in records if "looks_apart" in record]
        learned = [record for record in records if "total" in record]
        if not kept or not learned:
            raise RunsDiffer(f"{name}: {folder} has no held-out errors yet; train it for as long as the others")
        first = next(iter(found.values()), None)
        if first is not None and abs(kept[-1]["minutes"] - first["minutes"]) > _APART * first["minutes"]:
            raise RunsDiffer(
                f"{name} was kept at {kept[-1]['minutes']:.1f} minutes, the first at {first['minutes']:.1f}; "
                "train both for as long"
            )
        errors = {each: round(value, 3) for each, value in kept[-1].items() if each not in ("minutes", "step")}
        found[name] = {
            "config": _config(folder),
            "minutes": round(kept[-1]["minutes"], 2),
            "steps": kept[-1]["step"],
            "losses": {each: round(learned[-1][each], 4) for each in _LOSSES},
            "held_out": errors,
        }
    return found


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = {}
    TrainingStates(folder, "state").resume(lambda state: config.update(state["config"]))
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/encoder_families.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/images/encoder_families.png"))
    arguments = parser.parse_args()
    runs = {name: Path(folder) for name, _, folder in (each.partition("=") for each in arguments.run)}
    try:
        found = compare(runs)
    except (RunsDiffer, StateError) as error:
        sys.exit(f"error: {error}")
    result = {
        "what": "encoders trained from random weights for equal processor time on the same pictures in the same order, "
        "with the same heads and seed; held-out median errors of their linear heads, mm and degrees",
        "runs": found,
        "machine": machine(),
        "commit": commit(),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    draw_curves(arguments.picture, _PANELS, {name: folder / "curves.jsonl" for name, folder in runs.items()})
    print(json.dumps({name: each["held_out"] for name, each in found.items()}, indent=1))


if __name__ == "__main__":
    main()
