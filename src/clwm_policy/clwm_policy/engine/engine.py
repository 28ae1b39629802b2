"""The denoising engine: speculates the next chunk on a predicted observation, then finishes it on the real one.

Time line of chunk k + 1, whose request comes when chunk k starts to move:

    idle      ground the surrogate: stage 1 under the true context of chunk k gives the features one horizon later
              speculate: the program of chunk k + 1 on them and on predicted proprioception, as far as it can be of use
              evidence: when nothing else is left, a sampled chunk k from the start, to see how far it strayed
    blocking  the real frame: encode it, write it to W_long, resume the program where the re-entry policy says,
              under the true context

No ROS, no threads, and no clock but the injected stopwatch, which only measures durations. Same inputs, same chunks,
bit for bit on one backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from clwm_common.messages import ActionChunk, ChunkRequest, DualArmState, FeatureFrame, MemoryPolicy, SaiReport
from clwm_policy.engine.branch import Branch, Real, is_foreseen
from clwm_policy.engine.calibration import CalibrationError
from clwm_policy.engine.conversion import Border, Observation
from clwm_policy.engine.deadline import Course, StepTimes, course
from clwm_policy.engine.encoded import Draw, Encoded, Previewed
from clwm_policy.engine.evidence import FRACTION, Evidence
from clwm_policy.engine.facts import engine_facts
from clwm_policy.engine.program import Program, Refined, Step, begin
from clwm_policy.engine.re_entry import START, Adaptive, Plan, Point, ReEntryPolicy
from clwm_policy.engine.report import Finished, Laps
from clwm_policy.engine.trial import Trial
from clwm_policy.errors import DuplicateFrame, NothingRequested, StaleFrame, UnknownSentence
from clwm_policy.memory.long_term import LongTermMemory
from clwm_policy.memory.snapshot_file import load_memory, save_memory
from clwm_policy.model.checkpoint import Policy
from clwm_policy.model.flow import noise
from clwm_policy.model.known_sentences import KnownSentences

CUTS_IN_A_ROW = 3  # chunks that may be cut for a deadline before one is made whole, late or not


class Engine:
    """Makes one chunk per request; all calls from one thread.

    policy: the model in evaluation mode with its scales. embed: sentence -> (width,) language embedding. stopwatch:
    seconds of a steady clock. evidence_fraction: of the chunks that is made again to see how far it strayed. Every
    EngineError leaves the long-term memory as it was. Raises CalibrationError for an `adaptive` policy without its
    calibration, and ValueError for a fraction outside 0 ... 1.
    """

    def __init__(
        self,
        policy: Policy,
        embed: Callable[[str], Tensor],
        re_entry: ReEntryPolicy,
        plan: Plan,
        stopwatch: Callable[[], float],
        evidence_fraction: float = FRACTION,
    ) -> None:
        if isinstance(re_entry, Adaptive) and re_entry.calibration is None:
            raise CalibrationError("'adaptive' has no calibration; load that of the policy, or run `clwm calibrate`")
        self._model = policy.model
        self._codec = policy.codec
        self._border = Border(policy)
        self._policy_hash = policy.policy_hash
        self.encoder_hash = policy.encoder_hash
        self._embed = embed
        self.known_sentences = KnownSentences(policy.inputs, embed)
        self._re_entry = re_entry
        self._plan = plan
        self._stopwatch = stopwatch
        self.facts = engine_facts(policy, re_entry, plan, evidence_fraction)
        self._evidence = Evidence(evidence_fraction, policy.codec)
        self._was_evidence = False
        with torch.inference_mode():
            self._w_long = LongTermMemory(policy.model.initial_memory(1))
        self._epoch: int | None = None
        self._instruction = ""
        self._language: Tensor | None = None
        self._branch: Branch | None = None
        self._last: Real | None = None
        self._last_stamp = -math.inf
        self._unwritten: Encoded | None = None
        self._finished: Finished | None = None
        self._nfe_idle = 0
        self._times = StepTimes()
        self._cuts = 0

    @property
    def memory(self) -> LongTermMemory:
        """W_long, to look at and to save."""
        self._settle()
        return self._w_long

    @property
    def re_entry(self) -> ReEntryPolicy:
        """With its calibration, if it has one."""
        return self._re_entry

    @property
    def was_evidence(self) -> bool:
        """Whether the last step of `advance` was one for evidence, not for the chunk being made."""
        return self._was_evidence

    @property
    def pending(self) -> ChunkRequest | None:
        """The request being worked on."""
        return None if self._branch is None else self._branch.request

    @property
    def speculated_to(self) -> Point:
        """How far the speculation of the pending chunk has got."""
        return START if self._branch is None else self._branch.point

    @property
    def surrogate(self) -> Observation | None:
        """The observation that the pending chunk is speculated on; None before it is grounded."""
        return None if self._branch is None else self._branch.surrogate

    def start_episode(self) -> None:
        """Begin in a new world, whose time may start anew: no task, memory, surrogate or branch. Snapshots stay."""
        self._unwritten = None
        self._forget()
        self._epoch = None
        self._last_stamp = -math.inf
        self._w_long.reset()

    def save_memory(self, path: Path) -> str:
        """Write W_long to a file and return its digest. Raises OSError."""
        memory = self.memory
        return save_memory(path, memory.fork(), memory.observations, self.facts)

    def restore_memory(self, path: Path) -> None:
        """Make a saved memory W_long; branch and surrogate, which belong to the old one, are dropped.

        Raises BadSnapshot, and then changes nothing.
        """
        state, observations = load_memory(path, self.memory.fork(), self.facts)
        self._forget()
        self._w_long.adopt(state, observations)

    def check_task(self, instruction: str, memory_policy: MemoryPolicy, insist: bool = True) -> None:
        """Raises UnknownSnapshot when the task could not be begun like this, UnknownSentence when its words are unlike
        all that the policy was trained with, and nobody insists. May be called from another thread.
        """
        if memory_policy is MemoryPolicy.RESTORE:
            self._w_long.require(instruction)
        if not insist and (problem := self.known_sentences.problem_with(instruction)):
            raise UnknownSentence(problem)

    @torch.inference_mode()
    def set_task(self, epoch: int, instruction: str, memory_policy: MemoryPolicy = MemoryPolicy.KEEP) -> None:
        """Change the task; the branch and the surrogate of the old one are dropped.

        The memory is first saved under the old instruction; RESTORE brings back what was saved under the new one.
        Raises UnknownSnapshot when nothing was; the task is then not changed.
        """
        self._settle()
        self.check_task(instruction, memory_policy)
        language = torch.as_tensor(self._embed(instruction)).reshape(1, -1)
        if self._epoch is not None and self._w_long.observations:
            self._w_long.save(self._instruction)
        match memory_policy:
            case MemoryPolicy.RESET:
                self.start_episode()
            case MemoryPolicy.RESTORE:
                self._w_long.restore(instruction)
            case MemoryPolicy.KEEP:
                pass
        self._forget()
        self._epoch, self._instruction, self._language = epoch, instruction, language

    @torch.inference_mode()
    def request(self, request: ChunkRequest) -> None:
        """Begin the program of a chunk, or drop one; an unfinished one is cancelled.

        Another epoch or instruction changes the task as the request says. Nothing is predicted from a chunk finished
        last that was not the last to be executed. Noise is a function of episode seed and chunk id. Raises
        RequestRefused or UnknownSnapshot; what was being made then goes on.
        """
        if request.cancel:
            self.cancel(request.chunk_id)
            return
        self._settle()
        self._border.check_request(request)
        if (request.task_epoch, request.instruction) != (self._epoch, self._instruction):
            self.set_task(request.task_epoch, request.instruction, request.memory_policy)
        draw = Draw(
            video=noise(request.episode_seed, request.chunk_id, self._border.video_shape, "video"),
            action=noise(request.episode_seed, request.chunk_id, self._border.action_shape, "action"),
            prefix=self._border.prefix(request.committed_prefix),
        )
        if self._last is not None and self._last.chunk_id != request.executed_chunk_id:
            # It moved nothing, so the world one horizon of its motion later is not what will be seen.
            self._last = None
        self._branch = Branch(request, draw)

    def cancel(self, chunk_id: int) -> bool:
        """Drop the branch of `chunk_id`, so that a frame for it is refused; False when it is not the pending one."""
        if self._branch is None or self._branch.request.chunk_id != chunk_id:
            return False
        self._branch = None
        return True

    @torch.inference_mode()
    def advance(self) -> bool:
        """Run one step of idle-time work; False when nothing useful is left."""
        self._settle()
        worked = self._speculate()
        self._was_evidence = not worked and self._evidence.advance()
        return worked or self._was_evidence

    def observe(
        self, frame: FeatureFrame, state: DualArmState, executed: ArrayLike | None = None
    ) -> tuple[ActionChunk, SaiReport]:
        """`finish`, then `report`."""
        chunk = self.finish(frame, state, executed)
        return chunk, self.report()

    @torch.inference_mode()
    def finish(
        self,
        frame: FeatureFrame,
        state: DualArmState,
        executed: ArrayLike | None = None,
        time_left: float = math.inf,
    ) -> ActionChunk:
        """The blocking part: take the real observation in and complete the pending chunk on it.

        executed: (n, 30) rows executed since the previous observation, when they differ from those the request
        announced. time_left: s until the chunk is needed; a re-entry policy that keeps deadlines cuts steps for it. The
        observation enters W_long with a finite chunk or not at all, by the next call of any kind, `report` at the
        latest: the chunk can be sent first. Raises NothingRequested, StaleFrame, DuplicateFrame, EncoderMismatch,
        BadFrame, BadState, NonFiniteOutput; the request then stays pending, so that a better frame can answer it.
        """
        branch = self._branch
        if branch is None:
            raise NothingRequested(f"no chunk is being made; the frame of {frame.stamp} answers a dropped request")
        self._settle()
        self._check_order(frame)
        observation = self._border.observation(frame, state)
        request = branch.request

        laps = Laps(self._stopwatch)
        encoded = self._encode(branch, observation, request.executed_rows if executed is None else executed)
        laps.end("context")
        verified = branch.verify(encoded)
        disagreement = math.nan if verified is None else verified.disagreement(self._codec)
        laps.end("finish")
        way = self._course(branch, disagreement, time_left - laps.total)
        program = branch.resume(encoded, verified, way)
        if not isinstance(program, Refined):
            encoded.write()
        laps.end("memory")
        while self._step(program) is not None:
            pass
        rows = self._border.rows(program.rows, request.committed_prefix)
        laps.end("finish")

        point, made = program.began_at, Real(request.chunk_id, observation, program)
        self._finished = Finished(
            branch=branch,
            frame=frame,
            made=made,
            previous=self._last if is_foreseen(request) else None,
            policy=self._re_entry.name,
            laps=laps,
            disagreement=disagreement,
            expected_deviation=math.nan
            if program.steps_cut
            else self._re_entry.expected_deviation(point, disagreement),
            is_cut=way.is_cut,
            evidence=self._evidence.found,
            nfe_idle=self._nfe_idle,
            nfe_blocking=encoded.nfe,
        )
        if point != START and not way.is_cut:
            self._evidence.begin(program, request)
        else:
            self._evidence.drop()  # from the start there is nothing to see, and cut short nothing was stated
        self._unwritten, self._last, self._last_stamp = encoded, made, frame.stamp
        self._branch = None
        self._nfe_idle = 0
        self._cuts = self._cuts + 1 if way.is_cut else 0
        return ActionChunk(
            chunk_id=request.chunk_id,
            task_epoch=request.task_epoch,
            stamp=request.observe_at,
            rows=rows,
            prefix_rows=len(request.committed_prefix),
            observation_stamp=frame.stamp,
            policy_hash=self._policy_hash,
            re_entry=self._re_entry.name,
        )

    @torch.inference_mode()
    def report(self) -> SaiReport:
        """How the last finished chunk came about; apart from `finish` so that the chunk can be sent first.

        Stamps on the stack's clock, other than the frame's, are the shell's to fill in. Raises NothingRequested before
        the first chunk.
        """
        if self._finished is None:
            raise NothingRequested("no chunk has been made yet; there is nothing to report")
        self._settle()
        return self._finished.report(self._border, self._w_long)

    @torch.inference_mode()
    def trial(self, frame: FeatureFrame, state: DualArmState) -> Trial:
        """What the pending chunk would become if this were its observation; changes nothing. For measurements.

        Raises as `finish` does, and NothingRequested when nothing was speculated for the chunk.
        """
        branch = self._branch
        if branch is None or branch.speculation is None:
            raise NothingRequested("nothing is speculated for the pending chunk; there is nothing to try")
        self._settle()
        encoded = self._encode(branch, self._border.observation(frame, state), branch.request.executed_rows)
        return Trial(encoded, branch.speculation, self._border, self._codec, branch.request.committed_prefix)

    def _speculate(self) -> bool:
        """One step towards the next chunk, if any is of use."""
        if not self._re_entry.speculates or self._last is None:
            return False
        if self._last.program.predict():
            self._nfe_idle += 1
            return True
        branch = self._branch
        if branch is None or not is_foreseen(branch.request):
            return False
        if branch.speculation is None:
            branch.surrogate = self._last.foresee(branch.request, self._border)
            encoded = self._encode(branch, branch.surrogate, branch.request.executed_rows)
            branch.speculation = begin(encoded)
            self._nfe_idle += encoded.nfe
            return True
        program = branch.speculation
        if program.point >= self._re_entry.goal(self._plan):
            return False
        before = program.encoded.nfe
        self._step(program)
        self._nfe_idle += program.encoded.nfe - before
        return True

    def _encode(self, branch: Branch, observation: Observation, executed: ArrayLike) -> Encoded:
        conditions = self._border.conditions(observation, executed, branch.request.committed_prefix[0], self._language)
        kind = Previewed if self._re_entry.verifies else Encoded
        started = self._stopwatch()
        # A fork: what is written to it becomes the long-term memory only by `take_in`.
        encoded = kind(self._model, self._plan, self._w_long.fork(), conditions, branch.draw)
        self._times.add(Step.ENCODE, self._stopwatch() - started)
        return encoded

    def _step(self, program: Program) -> Step | None:
        started = self._stopwatch()
        step = program.advance()
        if step is not None:
            self._times.add(step, self._stopwatch() - started)
        return step

    def _forget(self) -> None:
        self._branch = self._last = None
        self._evidence.drop()

    def _settle(self) -> None:
        """Let the last observation into W_long."""
        if self._unwritten is not None:
            encoded, self._unwritten = self._unwritten, None
            with torch.inference_mode():
                self._w_long.take_in(encoded.write())

    def _course(self, branch: Branch, disagreement: float, time_left: float) -> Course:
        chosen = self._re_entry.choose(branch.point, self._plan, disagreement)
        if not self._re_entry.keeps_deadline or self._cuts >= CUTS_IN_A_ROW:
            return Course(chosen)
        kept = self._re_entry.points if math.isfinite(disagreement) else ()
        return course(chosen, self._plan, kept, self._times, time_left)

    def _check_order(self, frame: FeatureFrame) -> None:
        if frame.stamp == self._last_stamp:
            raise DuplicateFrame(f"the frame of {frame.stamp} was already taken in; a newer one is needed")
        if frame.stamp < self._last_stamp:
            raise StaleFrame(
                f"the frame of {frame.stamp} is older than the one of {self._last_stamp} taken in last; "
                "a newer one is needed (after a reset of the world, start a new episode)"
            )
