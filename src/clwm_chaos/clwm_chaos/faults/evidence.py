"""What is kept of an injection that was not as documented: everything observed, and a picture of the motion."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from clwm_chaos.faults.verdict import Injection, Observed
from clwm_chaos.motion_record import MotionRecord
from clwm_common.actions import ARM_JOINTS
from clwm_common.robot.description import RobotDescription

BEFORE, AFTER = 0.4, 1.0  # s around the injection that the picture shows


def save_evidence(folder: Path, injection: Injection, seen: Observed, robot: RobotDescription) -> Path:
    """Write FAULT_NUMBER.npz, .json and .png into `folder` and return the path of the last."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{injection.fault.replace(' ', '_')}_{injection.number}"
    motion = seen.motion
    assert motion is not None
    arrays = {"times": motion.times, "positions": motion.positions, "velocities": motion.velocities}
    for number, sent in enumerate(seen.sent):
        arrays |= {f"sent{number:03d}_{name}": getattr(sent, name) for name in ("times", "positions", "velocities")}
    np.savez_compressed(stem.with_suffix(".npz"), **arrays)
    story = {
        "injection": injection.as_dict(),
        "began_at": seen.began_at,
        "sent": [{"at": sent.at, "end": sent.end, "arm": sent.arm} for sent in seen.sent],
        "requests": [vars(request) for request in seen.requests],
        "statuses": [{"at": at, **status} for at, status in seen.statuses],
        "problems": seen.problems,
    }
    stem.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n")
    _draw(stem.with_suffix(".png"), injection, seen, motion, robot)
    return stem.with_suffix(".png")


def _draw(path: Path, injection: Injection, seen: Observed, motion: MotionRecord, robot: RobotDescription) -> None:
    """The joint that came nearest to its limit of acceleration: speed as told and as measured, and its acceleration."""
    instants, accelerations = motion.accelerations()
    shares = accelerations / robot.limit("acceleration")
    worst = np.unravel_index(np.abs(shares).argmax(), shares.shape) if shares.size else (0, 0)
    joint, centre = int(worst[1]), instants[worst[0]] if shares.size else seen.began_at
    arm, column = divmod(joint, ARM_JOINTS)
    name = robot.arms[arm].joint_names[column]
    figure, (speed, share, gaps) = plt.subplots(3, 1, figsize=(11, 8), sharex=True, layout="constrained")
    figure.suptitle(f"{injection.fault} {injection.number}, {injection.task}: " + "; ".join(injection.violations))
    for sent in seen.sent:
        if sent.arm == arm and len(sent.times):
            speed.plot(sent.times - seen.began_at, sent.velocities[:, column], color="#c44e52", alpha=0.4, marker=".")
            speed.axvline(sent.at - seen.began_at, color="#c44e52", linewidth=0.6, linestyle=":")
    speed.plot(motion.times - seen.began_at, motion.velocities[:, joint], color="#222222", label="measured")
    speed.set_ylabel(f"{name} [rad/s]\nred: as told, dotted where it arrived", fontsize=8)
    share.plot(instants - seen.began_at, shares[:, joint], color="#4c72b0")
    share.set_ylabel("acceleration / limit")
    gaps.plot(motion.times[1:] - seen.began_at, 1000.0 * np.diff(motion.times), color="#55a868")
    gaps.set_ylabel("between joint states [ms]")
    gaps.set_xlabel("s after the injection")
    low, high = min(0.0, centre - seen.began_at) - BEFORE, max(0.0, centre - seen.began_at) + AFTER
    for panel in (speed, share, gaps):
        panel.axvline(0.0, color="#222222", linewidth=0.8)
        panel.set_xlim(low, high)
    figure.savefig(path, dpi=100)
    plt.close(figure)
