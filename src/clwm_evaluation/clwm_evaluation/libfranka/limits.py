"""`clwm bench limits`: an arm's commands before a simulator that enforces a robot's limits."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_evaluation.calibration.trial_recording import TASKS
from clwm_evaluation.libfranka.judge import Judge, JudgeError, Verdict
from clwm_evaluation.libfranka.motions import Motion, SentMotions, filtered, moving_seconds, unfiltered
from clwm_evaluation.report import FirstSeed, Measured, ModelName, Rows, measurement
from clwm_evaluation.success_rates.evaluation import EvaluationError, EvaluationSettings, check_settings

ROBOT = "dual_fr3_libfranka"
FIRST_SEED = 9_300_000
LATENCY = "100"  # ms from pictures to chunk, so that the same seeds are the same motions
WAYS = {"filtered": filtered, "unfiltered": unfiltered}


@dataclass(frozen=True)
class Judged:
    """One arm's motion in one episode, one way. cycles: commands of it; moving: s of them in which it is on its way."""

    task: str
    seed: int
    arm: str
    cycles: int
    moving: float
    verdict: Verdict


@measurement(EvaluationError, JudgeError, draws=False)
def limits(
    console: PlainConsole,
    python: Annotated[
        str, typer.Option(envvar="CLWM_FRANKA_SIM_PYTHON", help="Python of an environment with franka-sim")
    ] = "franka-sim-env/bin/python",
    minutes: Annotated[float, typer.Option(min=0.01, help="of motion of one arm, at least")] = 10.0,
    *,
    model: ModelName = "nano",
    first_seed: FirstSeed = FIRST_SEED,
) -> Measured:
    """What drivers of arms by libfranka command every millisecond, for the stack's own chunks, judged by franka-sim.

    Its checks of position, velocity, acceleration and jerk see each command as they do in its server with
    --enforce-motion-limits, but in no real time: no machine is too slow for them. The control, in the same run, are
    the same trajectories without the command filter. Every arm's motion in an episode is one motion of a robot, which
    ends with the first command that is refused.
    """
    robot = RobotDescription.load(ROBOT)
    fixed = {"episodes": 1, "first_seed": first_seed, "latency": LATENCY}
    settings = [EvaluationSettings.of_model(model, task=task, **fixed) for task in TASKS]
    hashes = [check_settings(one) for one in settings][0]
    found: dict[str, list[Judged]] = {way: [] for way in WAYS}
    wanted, seconds = 60.0 * minutes, 0.0
    with closing(Judge(python)) as judge, progress(console, "seconds of motion", round(wanted)) as advance:
        for motion in _motions(settings, robot, first_seed):
            names = getattr(robot, motion.arm).joint_names
            for way, commands_of in WAYS.items():
                commands = commands_of(motion, names, robot.limits)
                verdict = judge.judge(motion.start, commands)
                passed = moving_seconds(commands)
                found[way].append(Judged(motion.task, motion.seed, motion.arm, len(commands), passed, verdict))
            seconds += passed
            advance(round(seconds) - round(seconds - passed), f"{motion.task} {motion.seed}, {motion.arm}")
            if seconds >= wanted:
                break
    report = summary(found) | {
        "model": model,
        "robot": ROBOT,
        "judge": "franka-sim 1.1.7",
        "latency": LATENCY,
        **hashes,
    }
    return Measured(report, [rows.table("one arm's commands before franka-sim") for rows in page_tables(report)])


def _motions(settings: Sequence[EvaluationSettings], robot: RobotDescription, first_seed: int) -> Iterator[Motion]:
    """Both arms' of one episode after the other, the tasks in turn, without end."""
    stacks = [SentMotions(one, robot) for one in settings]
    try:
        for seed in itertools.count(first_seed):
            for stack in stacks:
                yield from (motion for motion in stack.of(seed) if motion.sent)
    finally:
        for stack in stacks:
            stack.close()


def summary(found: dict[str, Sequence[Judged]]) -> dict[str, Any]:
    """What came of every way. judged: the commands up to the first refused one of each motion."""
    ways: dict[str, Any] = {}
    for way, some in found.items():
        refused = [it for it in some if it.verdict.error]
        ways[way] = {
            "motions": len(some),
            "motions_refused": len(refused),
            "commands": sum(it.cycles for it in some),
            "moving_seconds": round(sum(it.moving for it in some), 1),
            "judged": sum(it.cycles if it.verdict.refused_at is None else it.verdict.refused_at + 1 for it in some),
            "commands_refused": len(refused),
            "errors": dict(Counter(it.verdict.error for it in refused)),
            "first": refused[0].verdict.detail if refused else "",
        }
    return {"enforced": ways}


def page_tables(report: dict[str, Any]) -> list[Rows]:
    """A row for each way."""
    header = ["commands", "motions", "of one arm on its way, s", "judged", "motions refused", "as"]
    rows = [
        [
            "through the filter" if way == "filtered" else "without it",
            str(found["motions"]),
            f"{found['moving_seconds']:.0f}",
            f"{found['judged']:,} of {found['commands']:,}",
            str(found["motions_refused"]),
            ", ".join(f"{name}: {number}" for name, number in found["errors"].items()) or "-",
        ]
        for way, found in report["enforced"].items()
    ]
    return [Rows(header, rows)]
