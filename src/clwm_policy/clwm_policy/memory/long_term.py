"""W_long, its count of real observations and its named snapshots: the one place where the long-term memory changes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from clwm_policy.errors import UnknownSnapshot
from clwm_policy.memory.ttt import MemoryState

SNAPSHOTS_MAX = 16  # the oldest is dropped beyond this, so that a long session cannot grow


@dataclass(frozen=True)
class _Held:
    state: MemoryState
    observations: int


class LongTermMemory:
    """Holds W_long. Speculation gets forks; only `take_in` replaces the state by a written one."""

    def __init__(self, initial: MemoryState) -> None:
        self._initial = _Held(initial, 0)
        self._held = self._initial
        self._snapshots: OrderedDict[str, _Held] = OrderedDict()
        self._digest: str | None = None

    @property
    def observations(self) -> int:
        """Real observations that the present state has taken in."""
        return self._held.observations

    @property
    def snapshots(self) -> tuple[str, ...]:
        """Names that `restore` accepts, oldest first."""
        return tuple(self._snapshots)

    def fork(self) -> MemoryState:
        """A state that starts equal and never leaks back."""
        return self._held.state.fork()

    def take_in(self, written: MemoryState) -> None:
        """Make `written`, this memory plus one real observation, the long-term memory."""
        self._hold(_Held(written, self._held.observations + 1))

    def adopt(self, state: MemoryState, observations: int) -> None:
        """Make a state that came from elsewhere the long-term memory."""
        self._hold(_Held(state, observations))

    def reset(self) -> None:
        """Forget every observation; snapshots stay."""
        self._hold(self._initial)

    def save(self, name: str) -> None:
        """Keep the present state under `name`, in this process."""
        self._snapshots.pop(name, None)
        self._snapshots[name] = self._held
        while len(self._snapshots) > SNAPSHOTS_MAX:
            self._snapshots.popitem(last=False)

    def require(self, name: str) -> None:
        """Raises UnknownSnapshot when `restore` would. May be called from another thread."""
        if name not in self._snapshots:
            raise UnknownSnapshot(
                f"no memory was kept for the task '{name}'; kept for: {list(self._snapshots)}; "
                "use KEEP or RESET for a task not met before"
            )

    def restore(self, name: str) -> None:
        """Bring back the state saved under `name`. Raises UnknownSnapshot, and then changes nothing."""
        self.require(name)
        self._hold(self._snapshots[name])

    def digest(self) -> str:
        """SHA-256 of the weights, hex; computed once per state."""
        if self._digest is None:
            self._digest = self._held.state.digest()
        return self._digest

    def _hold(self, held: _Held) -> None:
        self._held = held
        self._digest = None
