"""What a chunk depends on besides its inputs: weights, encoder, layout, re-entry policy, steps and backend."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from clwm_common.actions import LAYOUT_VERSION
from clwm_common.provenance import machine
from clwm_policy.engine.calibration import Calibration
from clwm_policy.engine.re_entry import Adaptive, Plan, ReEntryPolicy
from clwm_policy.model.checkpoint import Policy

# Others may differ without changing what is computed, as far as that can be promised at all.
DECISIVE = (
    "policy_sha256", "encoder_sha256", "layout_version", "sai", "calibration_sha256", "video_steps", "action_steps",
    "evidence_fraction",
)  # fmt: skip


def engine_facts(policy: Policy, re_entry: ReEntryPolicy, plan: Plan, evidence_fraction: float) -> dict[str, str]:
    """As text: two engines of the same facts make the same chunks of the same calls."""
    calibration = re_entry.calibration if isinstance(re_entry, Adaptive) else None
    return {
        "policy_sha256": policy.policy_hash,
        "encoder_sha256": policy.encoder_hash,
        "layout_version": str(LAYOUT_VERSION),
        "sai": re_entry.name,
        "calibration_sha256": _digest(calibration) if isinstance(calibration, Calibration) else "",
        "video_steps": str(plan.video_steps),
        "action_steps": str(plan.action_steps),
        "evidence_fraction": repr(float(evidence_fraction)),
        "backend": policy.model.backend,
        "processor": str(machine()["processor"]),
    }


def _digest(calibration: Calibration) -> str:
    return hashlib.sha256(repr(replace(calibration, facts={})).encode()).hexdigest()
