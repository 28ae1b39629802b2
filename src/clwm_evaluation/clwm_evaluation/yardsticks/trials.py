"""The trials of TwoArmLift: whose they are, in which order they are made, and how one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import PolicyDocument
from clwm_common.messages import Mode
from clwm_evaluation.calibration.trial_recording import Source
from clwm_evaluation.suites.episodes import Job, Outcome, Pictures
from clwm_evaluation.suites.world import SuiteWorld
from clwm_evaluation.virtual.chunk_sources import ModelSource
from clwm_evaluation.virtual.stack import Latency, VirtualStack, stands_still
from clwm_evaluation.yardsticks.lift_world import TwoArmLiftWorld
from clwm_evaluation.yardsticks.robosuite_process import RobosuiteProcess, YardstickError
from clwm_sai_executor.config import FOLLOW, SchedulerConfig
from clwm_sim.cameras import CAMERAS
from clwm_sim.experts.goal_expert import GoalExpert
from clwm_sim.experts.playing import play
from clwm_sim.goals.lift_pot import LiftPot

POLICY, AT_HOME, EXPERT, HOLD = MOVERS = (
    "policy",
    "at-home",
    "expert",
    "hold",
)  # at home: the policy in our own pot scene
TASK, HOME_TASK = "robosuite/TwoArmLift", "pot:lift_pot"
LATENCY, SAI = 0.03, "sequential"  # s from the pictures to the chunk, and the mode: as a suite has them
LEVEL = "level"  # beside a success: both hands hold the pot, level, as our own goal asks


def jobs(counts: Mapping[str, int], first_seed: int) -> list[Job]:
    """counts: seeds of each mover. In equal shares, so that what is interrupted is of all movers."""
    shares = [
        ((number + 0.5) / count, Job(first_seed + number, TASK, "zero-shot", mover))
        for mover, count in counts.items()
        for number in range(count)
    ]
    return [job for _, job in sorted(shares, key=lambda it: it[0])]


class LiftTrials:
    """Makes trials one after the other, with one robosuite process; the policy is loaded when it is first needed."""

    def __init__(self, process: RobosuiteProcess, source: Source | None, follow: str = FOLLOW[0]) -> None:
        """source: None where no policy is asked for. follow: channels of its chunks that move the arms.

        Raises YardstickError for other channels than there are.
        """
        if follow not in FOLLOW:
            raise YardstickError(f"follow '{follow}' is unknown; expected one of {', '.join(FOLLOW)}")
        self._config = SchedulerConfig(follow=follow)
        self.world = TwoArmLiftWorld(process)
        self._source = source
        self._model: ModelSource | None = None
        self._home: SuiteWorld | None = None

    def run(self, job: Job) -> tuple[Outcome, Pictures]:
        """The episode of a job. Raises YardstickError; CheckpointError, BackendError for the policy."""
        if job.mover == EXPERT:
            return self._played(job.seed)
        if job.mover == HOLD:
            return self._held(job.seed)
        self._model = self._model or _model_source(self._source)
        return self._at_home(job.seed) if job.mover == AT_HOME else self._by_policy(job.seed)

    def close(self) -> None:
        """Free the GL context of our own scene."""
        if self._home is not None:
            self._home.close()

    def _by_policy(self, seed: int) -> tuple[Outcome, Pictures]:
        world = self.world
        result = VirtualStack(world, self._model, Latency(LATENCY), self._config).run(seed)
        outcome = replace(self._outcome(result.fault), told=world.instruction(seed), chunks=result.chunks)
        return outcome, Pictures(world.first_picture(), world.strip())

    def _at_home(self, seed: int) -> tuple[Outcome, Pictures]:
        """Judged by our own goal, which asks for more than robosuite."""
        world = self._home = self._home or SuiteWorld(HOME_TASK)
        result = VirtualStack(world, self._model, Latency(LATENCY), self._config).run(seed)
        also = (LEVEL,) if world.succeeded() else ()
        told = world.instruction(seed)
        outcome = Outcome(result.outcome, world.reason(result.fault), told, also, result.seconds, result.chunks)
        return outcome, Pictures(world.first_picture(), world.strip())

    def _held(self, seed: int) -> tuple[Outcome, Pictures]:
        result = VirtualStack(self.world, None, Latency(LATENCY), SchedulerConfig(initial_mode=Mode.HOLD)).run(seed)
        outcome = self._outcome(result.fault)
        return outcome, self._last_picture(outcome)

    def _played(self, seed: int) -> tuple[Outcome, Pictures]:
        """By the expert, which is told robosuite's true state and whose rows go to the arms as they are."""
        world = self.world
        world.reset(seed)
        for _ in play(world, GoalExpert(world.robot), world.goal, world.layout):
            if world.succeeded() or world.failed():
                break
        outcome = self._outcome("")
        return outcome, self._last_picture(outcome)

    def _outcome(self, fault: str) -> Outcome:
        world = self.world
        is_over = world.time >= world.goal.timeout
        how = "success" if world.succeeded() else "timeout" if is_over else "failure"
        also = (LEVEL,) if world.succeeded() and world.is_level() else ()
        return Outcome(how, world.reason(fault), "", also, round(world.time, 4))

    def _last_picture(self, outcome: Outcome) -> Pictures:
        """Of a failure whose mover sees none."""
        if outcome.succeeded:
            return Pictures()
        self.world.render(CAMERAS[0])
        return Pictures(strip=self.world.first_picture())


def check_taught(document: PolicyDocument) -> None:
    """Raises YardstickError for a policy that was not trained for the pot."""
    sentences = document.inputs.sentences
    if LiftPot.kind not in sentences:
        raise YardstickError(
            f"{document.path} was trained for {', '.join(sentences)}; name one that knows {LiftPot.kind} by --policy "
            "and its encoder by --encoder, or measure the controls alone with --episodes 0"
        )


def _model_source(source: Source) -> ModelSource:
    # Here, since torch takes seconds to import and --help must not wait for it.
    from clwm_policy.loading import PolicySettings, load_engine

    _, encoder, plan, path = source.load()
    settings = PolicySettings(
        checkpoint=path,
        sai=SAI,
        video_steps=plan.video_steps,
        action_steps=plan.action_steps,
        encoder_hash=encoder.weights_hash,
        backends=tuple(ModelFiles.load(source.model).backends),
    )
    return ModelSource(encoder, load_engine(settings, stopwatch=stands_still), CAMERAS, stands_still)
