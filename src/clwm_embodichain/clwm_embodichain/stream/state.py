"""Where a stream stands."""

from __future__ import annotations

from enum import Enum


class StreamState(Enum):
    """created: nothing runs; starting: workers do, nothing has come yet; ready: trajectories have come; failed: workers
    were lost again and again, or nothing came; stopped: ended as it should.
    """

    CREATED = "created"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"

    def then(self, new: StreamState) -> StreamState:
        """The new state. Raises ValueError for one that does not follow this one."""
        if new not in _EDGES[self]:
            follow = ", ".join(state.value for state in _EDGES[self]) or "nothing"
            raise ValueError(f"a stream that is {self.value} cannot become {new.value}; {follow} may follow")
        return new


_EDGES = {
    StreamState.CREATED: (StreamState.STARTING, StreamState.FAILED),
    StreamState.STARTING: (StreamState.READY, StreamState.FAILED, StreamState.STOPPED),
    StreamState.READY: (StreamState.FAILED, StreamState.STOPPED),
    StreamState.FAILED: (),
    StreamState.STOPPED: (),
}
