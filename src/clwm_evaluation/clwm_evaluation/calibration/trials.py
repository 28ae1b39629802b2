"""Speculated chunks tried from every point of re-entry, on what was seen and on what a moved object would have shown.

Both are answers to one state, one memory and one noise, so that all differences between them come from the event. The
episode itself goes on undisturbed: one episode gives nominal and disturbed samples from the same states.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from clwm_common.actions import JOINTS
from clwm_common.messages import ChunkRequest, DualArmState
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_evaluation.virtual.chunk_sources import Answer, ImageEncoder, ModelSource, Pictures
from clwm_evaluation.virtual.stack import EpisodeResult, Latency, VirtualStack
from clwm_evaluation.virtual.surprises import draw_event
from clwm_policy.engine.engine import Engine
from clwm_policy.engine.re_entry import Fixed, Plan, Point, Sequential
from clwm_policy.engine.refinement import refinements
from clwm_policy.engine.tool_motion import pose_distance
from clwm_policy.errors import EngineError
from clwm_policy.model.checkpoint import Policy
from clwm_policy.model.language import SentenceEncoder
from clwm_sim.world import World

_LONGEST_PREFIX = 4
_LATENCY = Latency(0.08)


class TrialsError(ValueError):
    """Samples that cannot be used; the message says what to record again."""


@dataclass(frozen=True)
class Trials:
    """n tried observations.

    task: (n,) name; seed: (n,) of the episode; chunk: (n,) its id; moved: (n,) whether an object was moved since the
    speculation was begun. disagreement: (n,) m. tools: (n, 1 + points, 12, 2, 7) tool poses of the last 12 rows of the
    sequential chunk and of the corrected one from every point. fixed, naive: (n, 12, 2, 7), of the uncorrected chunk
    from the middle of stage 2, and of the speculation as it stands.
    """

    task: NDArray[np.str_]
    seed: NDArray[np.int64]
    chunk: NDArray[np.int64]
    moved: NDArray[np.bool_]
    disagreement: NDArray[np.float64]
    tools: NDArray[np.float64]
    fixed: NDArray[np.float64]
    naive: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.seed)

    def take(self, index: NDArray) -> Trials:
        """The trials where `index` (a mask or positions) says so."""
        return Trials(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def deviations(self) -> NDArray[np.float64]:
        """(n, points) m between the chunk from each point and the sequential one."""
        return np.stack([self.deviation(tools) for tools in self.tools[:, 1:].swapaxes(0, 1)], axis=1)

    def deviation(self, tools: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) m between chunks (n, 12, 2, 7) and the sequential ones."""
        return np.array([pose_distance(pair[0], pair[1]) for pair in zip(self.tools[:, 0], tools, strict=True)])

    def pairs(self) -> tuple[Trials, Trials]:
        """Undisturbed and disturbed trials of the same chunks, in the same order."""
        keys = list(zip(self.task, self.seed, self.chunk, strict=True))
        at = {key: index for index, key in enumerate(keys) if not self.moved[index]}
        disturbed = np.array([i for i, key in enumerate(keys) if self.moved[i] and key in at], dtype=np.int64)
        return self.take(np.array([at[keys[i]] for i in disturbed], dtype=np.int64)), self.take(disturbed)

    def save(self, path: Path, policy_hash: str, plan: Plan) -> None:
        """Write a .npz that names the weights and flow steps it was made with, by an atomic rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.savez_compressed(file, made_with=np.array(_made_with(policy_hash, plan)), **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, policy_hash: str, plan: Plan) -> Trials:
        """Raises TrialsError for a file that is no such .npz or was made with other weights or steps."""
        try:
            with np.load(path, allow_pickle=False) as found:
                made_with = str(found["made_with"])
                trials = cls(**{field.name: found[field.name] for field in fields(cls)})
        except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
            raise TrialsError(f"{path} holds no trials ({error}); delete it to record them again") from error
        if made_with != (expected := _made_with(policy_hash, plan)):
            raise TrialsError(
                f"{path} was recorded with {made_with}; in use is {expected}; delete it to record it again"
            )
        return trials

    @classmethod
    def join(cls, parts: list[Trials]) -> Trials:
        """Raises TrialsError when there is none."""
        if not parts:
            raise TrialsError("no chunk was speculated; run more episodes, and check that the arms move at all")
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _made_with(policy_hash: str, plan: Plan) -> str:
    ways = " ".join(f"{(*steps.video,)}{(*steps.action,)}" for steps in refinements(plan).values())
    return f"policy {policy_hash[:16]}, {plan.video_steps} + {plan.action_steps} flow steps, refined at {ways}"


class TrialSource(ModelSource):
    """A ModelSource that tries every chunk speculated to its end before it answers.

    event_seed: together with the episode's seed and the chunk's id it says what moves and where to.
    """

    def __init__(self, encoder: ImageEncoder, engine: Engine, world: World, plan: Plan, event_seed: int = 0) -> None:
        super().__init__(encoder, engine, tuple(world.robot.cameras))
        self._world, self._plan, self._event_seed = world, plan, event_seed
        self._points = tuple(refinements(plan))
        self._poses: Callable[[NDArray], NDArray] = DualArmKinematics(world.robot).poses
        self._wanted: ChunkRequest | None = None
        self._made: list[Trials] = []

    def take_trials(self) -> list[Trials]:
        """What was tried since the last call."""
        made, self._made = self._made, []
        return made

    def request(self, request: ChunkRequest) -> None:
        self._wanted = request
        super().request(request)

    def answer(self, stamp: float, state: DualArmState, pictures: Pictures) -> Answer:
        request = self._wanted
        if request is not None and self._engine.speculated_to.action == self._plan.action_steps:
            self._try(stamp, state, pictures, False)
            rng = np.random.default_rng([self._event_seed, request.episode_seed, request.chunk_id])
            event = draw_event(self._world, rng)
            if event is not None:
                with self._world.displaced(event.name, event.shift):
                    self._try(stamp, state, pictures, True)
        return super().answer(stamp, state, pictures)

    def _try(self, stamp: float, state: DualArmState, pictures: Pictures, moved: bool) -> None:
        try:
            trial = self._engine.trial(self._frame(stamp, pictures()), state)
        except EngineError:
            return  # the answer to the same frame reports it
        plan = self._plan
        corrected = [self._tools(trial.rows(point, corrected=True)) for point in self._points]
        self._made.append(
            Trials(
                np.array([self._world.task.name]),
                np.array([self._wanted.episode_seed]),
                np.array([self._wanted.chunk_id]),
                np.array([moved]),
                np.array([trial.disagreement()]),
                np.stack([self._tools(trial.rows()), *corrected])[None],
                self._tools(trial.rows(Fixed(0.5).goal(plan)))[None],
                self._tools(trial.rows(Fixed(1.0).goal(plan)))[None],
            )
        )

    def _tools(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.stack([self._poses(row[JOINTS]) for row in rows[_LONGEST_PREFIX:]])


@dataclass(frozen=True)
class _SpeculateOnly(Sequential):
    """Speculates to the end and keeps nothing: the episode is the sequential policy's."""

    name: str = "speculate only"
    speculates: bool = True
    verifies: bool = True

    def goal(self, plan: Plan) -> Point:
        return Point(plan.video_steps, plan.action_steps)


def run_trials(
    task: str,
    seeds: Iterable[int],
    policy: Policy,
    encoder: ImageEncoder,
    plan: Plan,
    on_episode: Callable[[EpisodeResult, int], None] | None = None,
) -> Trials:
    """Run episodes of `task` under a virtual clock and try every chunk. on_episode: with the number of trials made.

    Raises TrialsError when no chunk was ever speculated.
    """
    embed = SentenceEncoder(policy.model.config.text_tokens).embed
    engine = Engine(policy, embed, _SpeculateOnly(), plan, time.perf_counter)
    world, made = World(task), []
    source = TrialSource(encoder, engine, world, plan)
    with closing(VirtualStack(world, source, _LATENCY)) as stack:
        for seed in seeds:
            result, new = stack.run(seed), source.take_trials()
            made += new
            if on_episode is not None:
                on_episode(result, len(new))
    return Trials.join(made)
