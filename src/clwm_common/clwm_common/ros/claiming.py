"""Claims to a role (clwm_common.claims) over DDS: a node's own, and what others claim."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable

from rclpy.node import Node

from clwm_common.claims import Claim, Contest, Stage
from clwm_common.commanders import Endpoint
from clwm_common.ros import qos
from clwm_common.ros.conversions import from_stamp, to_stamp
from clwm_msgs import msg

TOPIC = "/clwm/claims"
LISTEN = 1.2  # s; discovery takes a second on a busy machine, with the announcements of config/fastdds.xml
LEASE = 1.5  # s of silence after which a claim counts for nothing
PERIOD = LEASE / 3.0  # s
SHOWN = 10.0  # s for which the diagnostics name another that was refused
_LOOK = 0.02  # s
_PREFIX = 12  # bytes of a GID that all endpoints of a process share


class RoleClaim:
    """A node's claim to `role`. Call `tick` every PERIOD while it is held."""

    def __init__(self, node: Node, role: str) -> None:
        self._node = node
        before = {bytes(info.endpoint_gid) for info in node.get_publishers_info_by_topic(TOPIC)}
        self._output = node.create_publisher(msg.Claim, TOPIC, qos.LATCHED)
        # The graph knows a process's own endpoints at once, and no call tells which of them is whose.
        mine = [info for info in node.get_publishers_info_by_topic(TOPIC) if bytes(info.endpoint_gid) not in before]
        mine = [info for info in mine if info.node_name == node.get_name()]
        own = Claim(
            role, (), node.get_fully_qualified_name(), _participant(mine[0]) if mine else "", socket.gethostname(),
            os.getpid(), 0.0, secrets.randbits(63),
        )  # fmt: skip
        self._contest = Contest(own, LISTEN, LEASE)
        self._told, self._told_at = own, 0.0
        self._input = node.create_subscription(msg.Claim, TOPIC, self._on_claim, qos.LATCHED_BY_ALL)

    @property
    def participant(self) -> str:
        """What the GIDs of all endpoints of this process begin with."""
        return self._contest.claim.participant

    @property
    def claim(self) -> Claim:
        return self._contest.claim

    @property
    def refused(self) -> Claim | None:
        """Who was turned away in the last SHOWN s."""
        last = self._contest.refused
        return last[1] if last is not None and time.monotonic() - last[0] <= SHOWN else None

    def acquire(self, resources: Iterable[str], objection: Callable[[], Claim | None] = lambda: None) -> Claim | None:
        """Want the role until it is held or lost; this waits for LISTEN s. Returns the claim that it was lost to.

        resources: names of topics and services, as in the code: remapping is seen to. objection: asked meanwhile, for
        another reason to lose.
        """
        names = tuple(sorted({self._node.resolve_topic_name(name) for name in resources}))
        self._contest.want(time.monotonic(), time.time(), names)
        self._tell()
        while self._contest.claim.stage is Stage.WANTING:
            time.sleep(_LOOK)
            self._take()
            if (winner := self.tick() or objection()) is not None:
                self.release()
                return winner
        return None

    def tick(self) -> Claim | None:
        """Decide, and tell what has changed or was not told for PERIOD. Returns the claim that the role was lost to."""
        now = time.monotonic()
        winner = self._contest.poll(now)
        is_due = self.claim.stage is not Stage.FREE and now - self._told_at >= 0.9 * PERIOD
        if is_due or self.claim.stage is not self._told.stage:
            self._tell()
        return winner

    def release(self) -> None:
        """Give the role back."""
        self._contest.release()
        if self._told.stage is not Stage.FREE:
            self._tell()

    def living(self) -> list[Claim]:
        """What others hold or want, whatever the role."""
        return self._contest.living(time.monotonic())

    def _tell(self) -> None:
        claim = self._told = self._contest.claim
        self._told_at = time.monotonic()
        self._output.publish(
            msg.Claim(
                role=claim.role,
                resources=list(claim.resources),
                node=claim.node,
                participant=claim.participant,
                host=claim.host[:64],
                pid=claim.pid,
                since=to_stamp(claim.since),
                instance=claim.instance,
                stage=int(claim.stage),
            )
        )

    def _take(self) -> None:
        """What has come while this thread serves no callbacks."""
        with self._input.handle:
            while taken := self._input.handle.take_message(self._input.msg_type, self._input.raw):
                self._input.callback(taken[0])

    def _on_claim(self, message: msg.Claim) -> None:
        self._contest.hear(time.monotonic(), to_claim(message))


class ClaimListener:
    """What others claim, without a claim of one's own."""

    def __init__(self, node: Node) -> None:
        self._heard: dict[int, tuple[float, Claim]] = {}
        self._since = time.monotonic()
        node.create_subscription(msg.Claim, TOPIC, self._on_claim, qos.LATCHED_BY_ALL)

    @property
    def has_listened(self) -> bool:
        """Whether it is there for so long that it has heard of all."""
        return time.monotonic() - self._since >= LISTEN

    def holders(self, role: str) -> list[Claim]:
        """The living holders of `role`, in the order in which they took it."""
        alive = [it for at, it in self._heard.values() if time.monotonic() - at <= LEASE and it.role == role]
        return sorted((it for it in alive if it.stage is Stage.HOLDING), key=lambda it: (it.since, it.instance))

    def _on_claim(self, message: msg.Claim) -> None:
        self._heard[message.instance] = time.monotonic(), to_claim(message)


def to_claim(message: msg.Claim) -> Claim:
    """The core form; a stage of another release counts as none."""
    stage = Stage(message.stage) if message.stage in list(Stage) else Stage.FREE
    return Claim(
        message.role, tuple(message.resources), message.node, message.participant, message.host, message.pid,
        from_stamp(message.since), message.instance, stage,
    )  # fmt: skip


def publishers_of(node: Node, topic: str) -> list[Endpoint]:
    """Who may send to `topic`, remapped as the node's own."""
    return [
        Endpoint(f"{info.node_namespace.rstrip('/')}/{info.node_name}", _participant(info))
        for info in node.get_publishers_info_by_topic(topic)
    ]


def _participant(info: object) -> str:
    return bytes(info.endpoint_gid)[:_PREFIX].hex()
