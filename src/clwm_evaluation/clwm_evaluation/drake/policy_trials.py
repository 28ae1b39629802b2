"""The shipped policy's episodes in MuJoCo and in Drake, from the same starts, under a virtual clock."""

from __future__ import annotations

from clwm_common.files.model_files import ModelFiles
from clwm_common.messages import Mode
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.drake.orders import HOLD, OTHER_TASK, DrakeTrial, TrialOrder
from clwm_evaluation.drake.process import DrakeProcess
from clwm_evaluation.drake.task_world import DrakeTaskWorld
from clwm_evaluation.virtual.chunk_sources import ModelSource
from clwm_evaluation.virtual.conditions import CONDITIONS, ConditionedWorld
from clwm_evaluation.virtual.stack import EpisodeResult, Latency, VirtualStack, stands_still
from clwm_sai_executor.config import SchedulerConfig

DELAY = 0.08  # s from the pictures to the chunk, as `clwm bench success` has it
_VERDICTS = {"success": "achieved", "failure": "lost", "timeout": "open"}


class PolicyTrials:
    """Makes episodes one after the other, with one engine and one Drake process. Computing takes no time but DELAY.

    made_with: what the results depend on, besides Drake.
    """

    def __init__(self, process: DrakeProcess, source: Source) -> None:
        """Raises CheckpointError, BackendError."""
        # Here, since torch takes seconds to import and --help must not wait for it.
        from clwm_policy.loading import PolicySettings, load_engine

        policy, encoder, plan, path = source.load()
        files = ModelFiles.load(source.model)
        settings = PolicySettings(
            checkpoint=path,
            sai=files.sai,
            video_steps=plan.video_steps,
            action_steps=plan.action_steps,
            encoder_hash=encoder.weights_hash,
            backends=tuple(files.backends),
        )
        self._process = process
        self._encoder, self._engine = encoder, load_engine(settings, stopwatch=stands_still)
        self._worlds: dict[tuple[str, str], tuple[ConditionedWorld, DrakeTaskWorld]] = {}
        self.made_with = (
            f"policy {policy.policy_hash[:16]}, {files.sai}, {plan.video_steps} + {plan.action_steps} steps"
        )

    def run(self, order: TrialOrder) -> DrakeTrial:
        """The episode of this seed in Drake and then in MuJoCo. Raises DrakeError."""
        mujoco, drake = self._pair(order)
        other, this = (self._episode(order.mover, world, order.seed) for world in (drake, mujoco))
        return DrakeTrial(
            order,
            drake.goal.name,
            mujoco=_VERDICTS[this.outcome],
            drake=_VERDICTS[other.outcome],
            mujoco_seconds=round(this.seconds, 2),
            drake_seconds=round(other.seconds, 2),
        )

    def _pair(self, order: TrialOrder) -> tuple[ConditionedWorld, DrakeTaskWorld]:
        key = order.kind, order.mover
        if key not in self._worlds:
            condition = CONDITIONS[OTHER_TASK if order.mover == OTHER_TASK else "none"]
            worlds = ConditionedWorld(order.kind, condition), DrakeTaskWorld(order.kind, condition, self._process)
            self._worlds[key] = worlds
        return self._worlds[key]

    def _episode(self, mover: str, world: ConditionedWorld, seed: int) -> EpisodeResult:
        if mover == HOLD:
            return VirtualStack(world, None, Latency(DELAY), SchedulerConfig(initial_mode=Mode.HOLD)).run(seed)
        source = ModelSource(self._encoder, self._engine, tuple(world.robot.cameras), stands_still)
        return VirtualStack(world, source, Latency(DELAY)).run(seed)
