"""The report of trials in both simulators: rates side by side, those that prove little apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from clwm_evaluation.drake.orders import EXPERT, HOLD, OTHER_TASK, POLICY, DrakeTrial
from clwm_evaluation.report import Rows, paired_difference, percent
from clwm_evaluation.statistics import compare_pairs, success_rate
from clwm_sim.cameras import CAMERAS
from clwm_sim.goals.keep_still import KeepStill

_MOVED = {POLICY: "by the policy", OTHER_TASK: "by the policy, told the other task", HOLD: "by nobody: they hold"}
MOVING, STILL = "all that move something", "all that keep still"


def summary(trials: Sequence[DrakeTrial]) -> dict[str, Any]:
    """Rates of the experts by goal, of the policy by what it was told and by task, and every trial."""
    experts = [it for it in trials if it.order.mover == EXPERT]
    others = [it for it in trials if it.order.mover != EXPERT]
    goals = _rows(experts, lambda it: f"{it.order.scene} {it.order.kind}")
    goals += _rows(experts, lambda it: STILL if it.order.kind == KeepStill.kind else MOVING)
    policy = []
    for mover in dict.fromkeys(it.order.mover for it in others):
        own = [it for it in others if it.order.mover == mover]
        rows = [*_rows(own, lambda it: it.order.kind), *_rows(own, lambda it: "both")]
        policy += [{"mover": mover, **row} for row in rows]
    return {
        "goals": goals,
        "policy": policy,
        "trials": [_flat(it) for it in trials],
    }


def _flat(trial: DrakeTrial) -> dict[str, Any]:
    found = asdict(trial)
    return found.pop("order") | found


def _rows(trials: Sequence[DrakeTrial], name: Callable[[DrakeTrial], str]) -> list[dict[str, Any]]:
    found = []
    for each in dict.fromkeys(name(it) for it in trials):
        pairs = [(it.drake == "achieved", it.mujoco == "achieved") for it in trials if name(it) == each]
        found.append(
            {
                "goal": each,
                "trials": len(pairs),
                "drake": success_rate(sum(drake for drake, _ in pairs), len(pairs)),
                "mujoco": success_rate(sum(mujoco for _, mujoco in pairs), len(pairs)),
                "pairs": compare_pairs(pairs),
            }
        )
    return found


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """The experts, the policy, and the likeness of the scenes."""
    experts = [
        [
            row["goal"],
            str(row["trials"]),
            *_rates(row),
            f"{row['pairs']['only_other']} and {row['pairs']['only_this']}",
        ]
        for row in report["goals"]
    ]
    policy = [
        [_MOVED[row["mover"]], row["goal"], str(row["trials"]), *_rates(row), *paired_difference(row["pairs"])]
        for row in report["policy"]
    ]
    alike = [
        [
            row["scene"],
            f"{row['mass_kg']:.1g}",
            f"{row['axes']:.1g}",
            *(f"{100 * row['pictures'][camera]['share_far']:.1f} %" for camera in CAMERAS),
        ]
        for row in report["likeness"]
    ]
    rates = ("Drake", "Wilson 95 %", "MuJoCo", "Wilson 95 %")
    return [
        Rows(("goal of an expert", "starts", *rates, "only MuJoCo, only Drake"), experts),
        Rows(("the arms are moved", "judged", "starts", *rates, "points (95 %)", "McNemar exact p"), policy),
        Rows(("scene", "masses, kg", "joint axes, m", "head: pixels apart", "left wrist", "right wrist"), alike),
    ]


def _rates(row: dict[str, Any]) -> list[str]:
    cells = []
    for world in ("drake", "mujoco"):
        cells += [f"{100 * row[world]['success_rate']:.0f} %", percent(row[world]["wilson95"], 0)]
    return cells
