"""What the arms are doing and what they wait for.

            joint state          POLICY and a task: request at rest
    BLIND ---------------> IDLE ------------------------------------> ASKED
      ^                     ^ <------------------------------------     |
      |                     |    time-out, cancel, refusal              | chunk: row p-1 = held, at now + lead
      | joint states stale: | at rest                                   v
      | brake (any phase)   |        HOLD, ESTOP: brake now           MOVING <--+ chunk in time: splice,
      |                     |        SetTask: run out what was sent   | | |_____| request the next one
      |                     |        refused chunk: brake, HOLD       | |
      +-------------- STOPPING <--------------------------------------+ | rows end, no chunk: a stall
                            ^                                           v
                            +-------- time-out, cancel, refusal ------ STALLED --chunk--> MOVING
                                                                      (into the braking tail, or from rest)

    any but BLIND --TELEOP: cancel; the first target is followed at once--> STEERED --each target: a new path
    STEERED --POLICY; HOLD, ESTOP; switch released, source silent, broken target: brake now--> STOPPING
    STEERED --joint states stale: brake, HOLD--> BLIND

EpisodeReset, a jump of the measured arms, a clock that was set: all is dropped; BLIND until measured again,
then the arms are held where they are and the memory starts anew; TELEOP becomes HOLD.
SetTask while the policy moves the arms: the branch in flight is cancelled, the rows that were sent run out and end
at rest, and the first chunk of the new epoch is asked for there. A human goes on steering.
After TELEOP the policy is asked from where the arms came to rest, and told the last rows they were steered along.
A refusal of the policy that may pass is asked again after a moment, any other one in another epoch only.

`NEXT` has the edges. A branch in flight that is dropped leaves its phase for IDLE or STOPPING, whatever follows.
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """The value says it in words."""

    BLIND = "no fresh joint state"
    IDLE = "at rest, nothing asked"
    ASKED = "at rest, waiting for a chunk"
    MOVING = "running a chunk, the next one asked"
    STALLED = "out of rows: braking or at rest, the next chunk late"
    STOPPING = "running out what was sent, nothing asked"
    STEERED = "following a human"

    def to(self, phase: Phase) -> Phase:
        """The phase to enter. Raises PhaseError when the chart has no such edge."""
        if phase not in NEXT[self]:
            allowed = ", ".join(sorted(one.name for one in NEXT[self]))
            raise PhaseError(f"phase {phase.name} after {self.name}; expected {allowed}: a fault of the scheduler")
        return phase


class PhaseError(RuntimeError):
    """The scheduler left the state chart; the message names both phases."""


NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.BLIND: frozenset({Phase.BLIND, Phase.IDLE, Phase.STOPPING}),
    Phase.IDLE: frozenset({Phase.ASKED, Phase.STOPPING, Phase.STEERED, Phase.BLIND}),
    Phase.ASKED: frozenset({Phase.MOVING, Phase.IDLE, Phase.STOPPING}),
    Phase.MOVING: frozenset({Phase.MOVING, Phase.ASKED, Phase.STALLED, Phase.IDLE, Phase.STOPPING}),
    Phase.STALLED: frozenset({Phase.MOVING, Phase.IDLE, Phase.STOPPING}),
    Phase.STOPPING: frozenset({Phase.IDLE, Phase.STOPPING, Phase.STEERED, Phase.BLIND}),
    Phase.STEERED: frozenset({Phase.IDLE, Phase.STOPPING, Phase.BLIND}),
}
