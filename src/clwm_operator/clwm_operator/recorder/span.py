"""When a recording begins and ends: one for each epoch of a task. Knows no clock, no file and no ROS."""

from __future__ import annotations

from dataclasses import dataclass

LINGER = 2.0  # s that are still recorded once the task has been judged
LATE = 0.5  # s after its beginning within which a verdict is one that was there before


@dataclass(frozen=True)
class TaskHeard:
    """What the executor is to do; an empty instruction: nothing."""

    epoch: int
    instruction: str
    goal: str


@dataclass(frozen=True)
class VerdictHeard:
    """Somebody's final judgement of the task of an epoch."""

    epoch: int
    succeeded: bool
    judge: str


@dataclass(frozen=True)
class WorldHeard:
    """Which episode of the simulated world runs; it grows with every reset."""

    episode: int


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Begin:
    """Open a recording for this task."""

    task: TaskHeard


@dataclass(frozen=True)
class End:
    """Close it. is_kept: whether it holds any of the task before it was judged."""

    reason: str
    verdict: VerdictHeard | None
    is_kept: bool = True


Event = TaskHeard | VerdictHeard | WorldHeard | Tick
Command = Begin | End


class EpisodeSpan:
    """is_whole: one recording from the first event on, whatever the task; then only `stop` ends it."""

    def __init__(self, *, is_whole: bool = False) -> None:
        self._is_whole = is_whole
        self._task: TaskHeard | None = None
        self._over: int | None = None  # the epoch that was last recorded to its end
        self._began = 0.0
        self._verdict: VerdictHeard | None = None
        self._was_over = False
        self._ends_at = float("inf")
        self._world: int | None = None

    @property
    def is_recording(self) -> bool:
        return self._task is not None

    def step(self, now: float, event: Event) -> list[Command]:
        """now: s, when it was heard, on the clock of the machine that records."""
        match event:
            case _ if self._is_whole and self._task is None:
                task = event if isinstance(event, TaskHeard) else TaskHeard(0, "", "")
                return [self._begin(now, task)]
            case TaskHeard():
                return self._hear_task(now, event)
            case VerdictHeard() if self._task is not None and (self._is_whole or event.epoch == self._task.epoch):
                self._was_over = self._verdict is None and now - self._began < LATE
                self._verdict = event
                self._ends_at = now + LINGER
            case WorldHeard(episode):
                before, self._world = self._world, episode
                if self._task is not None and not self._is_whole and before not in (None, episode):
                    return [self._end("the world was reset")]
        if self._task is not None and not self._is_whole and now >= self._ends_at:
            return [self._end("the task was judged")]
        return []

    def stop(self) -> list[Command]:
        """The recorder ends."""
        return [] if self._task is None else [self._end("the recorder was ended")]

    def _hear_task(self, now: float, task: TaskHeard) -> list[Command]:
        if self._is_whole:
            return []
        commands: list[Command] = []
        if self._task is not None and (not task.instruction or task.epoch != self._task.epoch):
            commands.append(self._end("another task was given" if task.instruction else "the task ended"))
        if self._task is None and task.instruction and task.epoch != self._over:
            commands.append(self._begin(now, task))
        return commands

    def _begin(self, now: float, task: TaskHeard) -> Begin:
        self._task, self._began = task, now
        self._verdict, self._was_over, self._ends_at = None, False, float("inf")
        return Begin(task)

    def _end(self, reason: str) -> End:
        assert self._task is not None
        self._over, self._task = self._task.epoch, None
        # A recorder that comes late is told the verdict of a task that is over.
        return End(reason, self._verdict, is_kept=self._is_whole or not self._was_over)
