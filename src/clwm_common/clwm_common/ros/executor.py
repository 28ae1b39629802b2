"""A single-threaded executor that looks at a node's entities when they change, not at every wake-up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from inspect import iscoroutine
from threading import RLock
from typing import Any

from rclpy.context import Context
from rclpy.event_handler import EventHandler
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, TimeoutObject
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future, Task
from rclpy.timer import Timer
from rclpy.utilities import timeout_sec_to_nsec
from rclpy.waitable import NumberOfEntities, Waitable

EVENT_PERIOD = 100_000_000  # ns
_WITH_MESSAGE_INFO = Subscription.CallbackType.WithMessageInfo


def shortest_period(subscription: Subscription, seconds: float) -> Subscription:
    """Wait for messages of `subscription` no oftener than every so many s. Returns it.

    Meanwhile they stay in its queue and wake nobody. Only StaticSingleThreadedExecutor knows of this.
    """
    subscription.shortest_period = round(1e9 * seconds)
    return subscription


class StaticSingleThreadedExecutor(Executor):
    """Serves nodes in the thread that spins, as rclpy's SingleThreadedExecutor does, at a fraction of its cost.

    rclpy's own executor collects every entity anew and builds a wait set of them twice for each callback: for a node
    with forty entities and a hundred messages a second that is most of what its process does. This one keeps both until
    an entity is created or destroyed, of which nodes tell by `wake`; all that is ready is served before it waits again.
    An entity that is destroyed meanwhile lives on until the next wait. QoS events, of which a node has more than topics
    and which are for its log, are looked for ten times a second.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._spinning = RLock()
        self._is_stale = True
        self._entities: _Entities | None = None

    def wake(self) -> None:
        self._is_stale = True
        super().wake()

    def add_node(self, node: Node) -> bool:
        self._is_stale = True
        return super().add_node(node)

    def remove_node(self, node: Node) -> None:
        self._is_stale = True
        super().remove_node(node)

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Serve nothing any more, and let go of the nodes' entities; False when a callback runs on after the time-out.

        May be called from a callback and from another thread.
        """
        super().shutdown(timeout_sec)
        if not self._spinning.acquire(timeout=-1 if timeout_sec is None or timeout_sec < 0.0 else timeout_sec):
            return False
        try:
            self._release()
        finally:
            self._spinning.release()
        return True

    def spin_once(self, timeout_sec: float | TimeoutObject | None = None) -> None:
        """Resume what is suspended, then wait for one wake-up and serve all that is ready.

        Raises what a callback raises, and ExternalShutdownException when ROS was shut down.
        """
        if isinstance(timeout_sec, TimeoutObject):
            timeout_sec = timeout_sec.timeout
        with self._spinning:
            self._resume_tasks()
            if self._is_stale or self._entities is None:
                # No wait set can be made when ROS has ended.
                if not self._may_go_on():
                    return
                self._collect()
            entities = self._entities
            entities.wait(timeout_sec_to_nsec(timeout_sec))
            if self._may_go_on():
                self._serve_ready(entities)

    def spin_once_until_future_complete(self, future: Future, timeout_sec: float | TimeoutObject | None = None) -> None:
        future.add_done_callback(lambda _: self.wake())
        self.spin_once(timeout_sec)

    def _may_go_on(self) -> bool:
        if not self._is_shutdown and not self._context.ok():
            raise ExternalShutdownException
        return not self._is_shutdown

    def _release(self) -> None:
        if self._entities is not None:
            self._entities.release()
        self._entities = None

    def _collect(self) -> None:
        self._release()
        self._is_stale = False  # before looking: what another thread creates meanwhile makes it true again
        own = [guard for guard in (self._guard, self._sigint_gc) if guard is not None]
        self._entities = _Entities(self.get_nodes(), own, self.can_execute, self._context)

    def _serve_ready(self, entities: _Entities) -> None:
        for kind, entity, node in entities.ready():
            # After a change the entity may be gone; when it is not, the next wait finds it ready again.
            if self._is_stale:
                _postpone(entity)
                continue
            coroutine = self._serve(kind, entity)
            if coroutine is not None:
                self._begin(coroutine, entity, node)
            if self._entities is not entities:
                return  # the callback has shut this executor down

    def _serve(self, kind: str, entity: Any) -> Coroutine | None:
        """Take what is ready and call back; returns what is left to be done when that is more than a plain call."""
        match kind:
            case "subscription":
                return _serve_subscription(entity)
            case "timer":
                return _serve_timer(entity)
        callback = getattr(self, f"_take_{kind}")(entity)
        return None if callback is None else callback()

    def _begin(self, coroutine: Coroutine, entity: Any, node: Node) -> None:
        """Run a coroutine until it waits for something; until it ends, its callback group may keep others waiting."""
        entity.callback_group.beginning_execution(entity)
        task = Task(_run_in_group, (coroutine, entity), executor=self)
        task()
        if task.done():
            task.result()
            return
        with self._tasks_lock:
            self._tasks.append((task, entity, node))
        self._is_stale = True

    def _resume_tasks(self) -> None:
        with self._tasks_lock:
            entries = list(self._tasks)
        for entry in entries:
            task, entity, node = entry
            if node is not None and node not in self._nodes:
                continue
            task()
            if task.done() or task.cancelled():
                with self._tasks_lock:
                    self._tasks.remove(entry)
                self._is_stale |= entity is not None
                # The service that it should answer may have been destroyed while it waited.
                with contextlib.suppress(InvalidHandle):
                    task.result()


class _Entities:
    """What some nodes wait for, kept from destruction until `release`, and the wait set in which they are."""

    # In the order in which they are served; waitables come before them.
    KINDS = ("timer", "subscription", "guard_condition", "client", "service")

    def __init__(
        self, nodes: Iterable[Node], own: list[GuardCondition], may_run: Callable[[Any], bool], context: Context
    ) -> None:
        """own: the executor's guard conditions, which have no callback. may_run: whether an entity's group is free."""
        self._in_use = contextlib.ExitStack()
        self._own = [guard.handle for guard in own if self._hold(guard.handle)]
        self._of_kind: dict[str, dict[int, tuple[Any, Node]]] = {kind: {} for kind in self.KINDS}
        self._waitables: list[tuple[Waitable, Node]] = []
        self._events: list[tuple[EventHandler, Node]] = []
        self._events_due = 0
        self._waited: list[tuple[Waitable, Node]] = []
        for node in nodes:
            for kind in self.KINDS:
                # `node.guards`, in full, are guard conditions; the other properties are named for their kind.
                for entity in getattr(node, f"{kind}s".replace("guard_conditions", "guards")):
                    if may_run(entity) and self._hold(entity.handle):
                        self._of_kind[kind][entity.handle.pointer] = entity, node
            for waitable in node.waitables:
                if may_run(waitable) and self._hold(waitable):
                    place = self._events if isinstance(waitable, EventHandler) else self._waitables
                    place.append((waitable, node))
        self._wait_set = self._room(context)
        # Looked up once: these are what every wake-up calls.
        self._additions = [(self._wait_set.add_guard_condition, handle) for handle in self._own]
        self._paced: dict[int, list[Any]] = {}  # by their period
        for entity, _ in self._of_kind["subscription"].values():
            if period := _period_of(entity):
                self._paced.setdefault(period, []).append(entity)
        self._due = dict.fromkeys(self._paced, 0)
        for kind, found in self._of_kind.items():
            add = getattr(self._wait_set, f"add_{kind}")
            self._additions += [(add, entity.handle) for entity, _ in found.values() if not _period_of(entity)]

    def _hold(self, handle: Any) -> bool:
        """Keep from destruction; False when that has been asked for already."""
        try:
            self._in_use.enter_context(handle)
        except InvalidHandle:
            return False
        return True

    def _room(self, context: Context) -> Any:
        found = {kind: len(entities) for kind, entities in self._of_kind.items()}
        number = NumberOfEntities(
            found["subscription"],
            found["guard_condition"] + len(self._own),
            found["timer"],
            found["client"],
            found["service"],
        )
        for waitable, _ in self._waitables + self._events:
            number += waitable.get_num_entities()
        self._in_use.enter_context(context.handle)
        return _rclpy.WaitSet(
            number.num_subscriptions,
            number.num_guard_conditions,
            number.num_timers,
            number.num_clients,
            number.num_services,
            number.num_events,
            context.handle,
        )

    def wait(self, timeout: int) -> None:
        """Until something is ready, or for at most `timeout` ns; for any time when that is negative."""
        self._wait_set.clear_entities()
        for add, handle in self._additions:
            add(handle)
        self._waited = self._waitables
        if self._events:
            timeout = min(timeout, EVENT_PERIOD) if timeout >= 0 else EVENT_PERIOD
            now = time.monotonic_ns()
            if now >= self._events_due:
                self._waited, self._events_due = self._waitables + self._events, now + EVENT_PERIOD
        for waitable, _ in self._waited:
            waitable.add_to_wait_set(self._wait_set)
        if self._paced:
            timeout = self._add_paced(timeout)
        self._wait_set.wait(timeout)

    def _add_paced(self, timeout: int) -> int:
        """Wait for what has a shortest period when that is over, else until the first is; returns for how many ns."""
        now = time.monotonic_ns()
        for period, entities in self._paced.items():
            left = self._due[period] - now
            if left > 0:
                timeout = min(timeout, left) if timeout >= 0 else left
                continue
            for entity in entities:
                self._wait_set.add_subscription(entity.handle)
        return timeout

    def ready(self) -> Iterator[tuple[str, Any, Node]]:
        """Kind, entity and node of what the last wait found ready."""
        for waitable, node in self._waited:
            if waitable.is_ready(self._wait_set):
                yield "waitable", waitable, node
        for kind, entities in self._of_kind.items():
            for pointer in self._wait_set.get_ready_entities(kind) if entities else ():
                # The executor's own guard conditions are ready for nobody; a timer may have been cancelled meanwhile.
                entity, node = entities.get(pointer, (None, None))
                if self._paced and (period := _period_of(entity)):
                    # All of one period at once: what comes a moment later on another topic is read with the next.
                    self._due[period] = time.monotonic_ns() + period
                if entity is not None and (kind != "timer" or entity.handle.is_timer_ready()):
                    yield kind, entity, node

    def release(self) -> None:
        """Let go; what was destroyed meanwhile is destroyed now."""
        self._in_use.close()


# What comes a hundred times a second is served here; rclpy's own way of taking it makes a coroutine and a task of it.
def _serve_subscription(subscription: Subscription) -> Coroutine | None:
    try:
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    except InvalidHandle:
        return None  # destroyed by another thread just now
    if taken is None:
        return None
    wants_all = subscription._callback_type is _WITH_MESSAGE_INFO
    return _call(subscription.callback, *(taken if wants_all else taken[:1]))


def _serve_timer(timer: Timer) -> Coroutine | None:
    try:
        with timer.handle:
            timer.handle.call_timer()
    except InvalidHandle:
        return None
    return _call(timer.callback)


def _period_of(entity: Any) -> int:
    """ns, see `shortest_period`."""
    return getattr(entity, "shortest_period", 0)


def _call(callback: Callable[..., Any], *args: Any) -> Coroutine | None:
    outcome = callback(*args)
    return outcome if iscoroutine(outcome) else None


async def _run_in_group(coroutine: Coroutine, entity: Any) -> None:
    try:
        await coroutine
    finally:
        entity.callback_group.ending_execution(entity)


def _postpone(entity: Any) -> None:
    """Leave it for the next wait, by which it will still be ready: all but guard conditions, which waiting resets."""
    if isinstance(entity, GuardCondition):
        with contextlib.suppress(InvalidHandle):
            entity.trigger()
