"""Base of all nodes: lifecycle transitions and callbacks in which no exception is lost, and a clean way out."""

from __future__ import annotations

import functools
import inspect
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.signals import SignalHandlerOptions

from clwm_common import ros_environment
from clwm_common.ros import qos
from clwm_common.ros.diagnostics import ACTIVE, NOT_OK_FOR, Health, Level, to_array
from clwm_common.ros.executor import StaticSingleThreadedExecutor
from clwm_common.ros.intake import intake
from clwm_common.ros.node_parts.sole_role import SoleRole
from clwm_common.ros.node_parts.stack_clock import CLOCK, StackClock
from clwm_common.ros.parameters import Parameter, ParameterError, declare, problem_with
from clwm_common.ros.quiet_logger import QuietLogger
from clwm_common.ros.signals import Interrupted, StopOnSignal

_AUTOSTART = Parameter("autostart", True, "configure and activate without being told by a supervisor")

LONGEST_FAREWELL = 2.0  # s that a node goes on for others; arms need a third of it to brake


class NodeError(RuntimeError):
    """Why a transition is refused, in words for the operator: what, which value, what was expected, the remedy."""


class ClwmNode(StackClock, SoleRole, LifecycleNode):
    """A lifecycle node with four plain hooks, `configure`, `activate`, `deactivate`, `cleanup`, that may raise.

    A hook that raises refuses its transition: the reason is logged, latched in the diagnostics, and the node stays
    in (or falls back to) the state before. Callbacks of subscriptions, timers and services made through this node
    are guarded: one that raises is logged with its traceback and deactivates the node, so that `deactivate` makes
    things safe. Whatever a node creates in `configure` or later (publishers, subscriptions, timers, services,
    clients) is destroyed by the transition to unconfigured; `cleanup` need only drop the rest. `params` has the
    values of PARAMETERS; the reconfigurable ones among them are read again by every configuration.
    """

    PARAMETERS: Sequence[Parameter] = ()
    # Until the constructor is done, rclpy creates entities of its own, which are neither guarded nor tracked.
    _entities: list[tuple[Callable[[Any], Any], Any]] | None = None
    _quiet: QuietLogger | None = None

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Raises ParameterError when a parameter is of the wrong type or out of range."""
        self.begin_clock()
        super().__init__(name, **kwargs)
        self._quiet = QuietLogger(super().get_logger())
        self.params = declare(self, (*self.PARAMETERS, _AUTOSTART))
        self._fault = ""
        self._refusals: Counter[str] = Counter()
        self._is_active = False
        self._is_configured = False
        self.add_on_set_parameters_callback(self._may_set)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.REPORT)
        self._well_at = time.monotonic()
        # By a clock that runs whatever use_sim_time says: health is wanted most when the stack's clock stands still.
        self.create_timer(1.0, self._report_health, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.open_role()
        # rclpy lets an impossible transition escape from its service and end the process.
        service = self._service_change_state
        service.callback = self._guarded_change_state(service.callback)
        self._entities = []

    def configure(self) -> None:
        """Load, check and warm up; create publishers and subscriptions. Raise to refuse."""

    def activate(self) -> None:
        """Enable output. Raise to refuse."""

    def deactivate(self) -> None:
        """Stop the work first, then make the arms safe. Also called after a callback has failed."""

    def cleanup(self) -> None:
        """Drop what `configure` built, also when it built only a part of it."""

    def is_needed(self) -> bool:
        """Whether somebody still depends on this node, which then goes on for a while after it was asked to end."""
        return False

    def diagnose(self) -> Health:
        """The state of this node's own work, asked once a second while it is active."""
        return Health()

    @property
    def is_active(self) -> bool:
        return self._is_active

    @property
    def fault(self) -> str:
        """Why the node refused a transition or stopped; empty when all is well."""
        return self._fault

    def get_logger(self) -> Any:
        return self._quiet or super().get_logger()

    def log(self, severity: str, text: str) -> None:
        """Log `text` as `info`, `warning` or `error`. Raises ValueError for another severity."""
        if severity not in ("info", "warning", "error"):
            raise ValueError(f"severity is {severity!r}; expected info, warning or error")
        getattr(self.get_logger(), severity)(text)

    def fail(self, reason: str) -> None:
        """Latch `reason` as ERROR in the diagnostics and, when active, deactivate."""
        self._fault = reason
        self.get_logger().error(reason)
        if self._is_active:
            self.trigger_deactivate()
        self._report_health()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        for name in self._reconfigurable():
            setattr(self.params, name, self.get_parameter(name).value)
        if not self._attempt("configure", self.configure_in_role):
            self.release()
            return TransitionCallbackReturn.FAILURE
        self._fault = ""
        self._is_configured = True
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        if result != TransitionCallbackReturn.SUCCESS or not self._attempt("activate", self.activate):
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self._fault = ""
        self._is_active = True
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._is_active = False
        # The hook still needs its publishers, to send the arms to rest; they are switched off after it.
        done = self._attempt("deactivate", self.deactivate)
        super().on_deactivate(state)
        return TransitionCallbackReturn.SUCCESS if done else TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_cleanup(state)
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._is_active:
            self.on_deactivate(state)
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a failed deactivation: back to unconfigured, from where an operator may try again."""
        self._is_active = False
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def _reconfigurable(self) -> set[str]:
        return {row.name for row in self.PARAMETERS if row.reconfigurable}

    def _may_set(self, parameters: Sequence[RosParameter]) -> SetParametersResult:
        named = sorted(self._reconfigurable() & {parameter.name for parameter in parameters})
        if named and self._is_configured:
            reason = f"{', '.join(named)} is read when the node is configured; deactivate it and clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        rows = {row.name: row for row in self.PARAMETERS}
        for parameter in parameters:
            if parameter.name in rows and (problem := problem_with(rows[parameter.name], parameter.value)):
                return SetParametersResult(successful=False, reason=f"{parameter.name} {problem}")
        return SetParametersResult(successful=True)

    def _attempt(self, transition: str, hook: Callable[[], None]) -> bool:
        try:
            hook()
        except Exception as error:
            self._fault = f"{transition} refused: {error}"
            # Errors of this project say what to do; for any other the place helps to find the defect.
            if not type(error).__module__.startswith("clwm_"):
                self._fault += f" ({type(error).__name__} at {_place(error)})"
                self.get_logger().debug(traceback.format_exc())
            self.get_logger().error(self._fault)
            return False
        self.get_logger().info(f"{transition}: done")
        return True

    def release(self) -> None:
        """Clean up and destroy what was created since the constructor; used by the transitions."""
        self._is_configured = False
        self.give_role_back()
        self._attempt_quietly(self.cleanup)
        for destroy, entity in reversed(self._entities or []):
            self._attempt_quietly(functools.partial(destroy, entity))
        self._entities = []

    def _attempt_quietly(self, action: Callable[[], Any]) -> None:
        """Run a clean-up step whose failure must not keep the other steps from running."""
        try:
            action()
        except Exception:
            self.get_logger().error("clean-up step failed:\n" + traceback.format_exc())

    def create_subscription(
        self, msg_type, topic, callback, *args, raw=False, max_bytes=None, on_refused=None, **kwargs
    ):
        """A guarded subscription; what is longer than `max_bytes`, or malformed, is refused and counted.

        on_refused: told the reason, too.

        max_bytes: of the serialised message; None for what the bounds in its .msg file add up to. raw: the callback
        takes the bytes as they come, and the limit is its own concern.
        Raises UnboundedType when neither the type nor the caller says what is too large.
        """
        if topic == CLOCK:
            callback = self.heeding_leaps(callback)
        if not raw:
            callback = intake(msg_type, max_bytes, callback, functools.partial(self.refuse_message, topic, on_refused))
        made = super().create_subscription(msg_type, topic, self._guard(callback), *args, raw=True, **kwargs)
        if topic == CLOCK:
            self._clock_input = made
        return self._track("subscription", made)

    def create_timer(self, timer_period_sec, callback, *args, **kwargs):
        return self._track("timer", super().create_timer(timer_period_sec, self._guard(callback), *args, **kwargs))

    def create_service(self, srv_type, srv_name, callback, *args, **kwargs):
        return self._track(
            "service", super().create_service(srv_type, srv_name, self._guard(callback), *args, **kwargs)
        )

    def create_client(self, *args, **kwargs):
        return self._track("client", super().create_client(*args, **kwargs))

    def create_publisher(self, *args, **kwargs):
        # Every event handler costs time at every wake-up. A subscription with another QoS is told of by its own end.
        kwargs.setdefault("event_callbacks", PublisherEventCallbacks(use_default_callbacks=False))
        return self._track("publisher", super().create_publisher(*args, **kwargs))

    def create_lifecycle_publisher(self, *args, **kwargs):
        return self._track("lifecycle_publisher", super().create_lifecycle_publisher(*args, **kwargs))

    def refuse_message(self, topic: str, on_refused: Callable[[str], None] | None, reason: str) -> None:
        """Count and log a message that was not let in."""
        if on_refused is not None:
            on_refused(reason)
        self._refusals[topic] += 1
        self.get_logger().warning(f"message on {topic} refused: {reason}")

    def _track(self, kind: str, entity: Any) -> Any:
        if self._entities is not None:
            self._entities.append((getattr(self, f"destroy_{kind}"), entity))
        return entity

    def _guard(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        # rclpy calls a subscription's callback with one or two arguments by its signature, which `wraps` keeps visible.
        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception as error:
                return self._fail_in_callback(error, args)

        @functools.wraps(callback)
        async def guarded_coroutine(*args: Any) -> Any:
            try:
                return await callback(*args)
            except Exception as error:
                return self._fail_in_callback(error, args)

        return guarded_coroutine if inspect.iscoroutinefunction(callback) else guarded

    def _fail_in_callback(self, error: Exception, args: tuple[Any, ...]) -> Any:
        """Stop for an exception that a callback raised; a service must answer, or its client waits for ever."""
        self.get_logger().error("".join(traceback.format_exception(error)))
        self.fail(f"stopped: {type(error).__name__} in {_place(error)}: {error}")
        response = args[1] if len(args) == 2 else None
        if hasattr(response, "accepted"):
            response.accepted, response.message = False, self._fault
        return response

    def _guarded_change_state(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def change_state(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                self.get_logger().error(
                    f"transition {request.transition.id} {request.transition.label} refused: {error}"
                )
                response.success = False
                return response

        return change_state

    def _report_health(self) -> None:
        self._quiet.say_what_was_left_out()
        if self._fault:
            health = Health(Level.ERROR, self._fault)
        elif self._is_active:
            health = self.diagnose()
        else:
            health = Health(Level.WARN, "not active")
        if clock_problem := self.look_at_clock():
            message = "; ".join(text for text in (clock_problem, health.message) if text)
            health = replace(health, level=Level.ERROR, message=message)
            self.get_logger().error(clock_problem)
        health = self.with_refused(health)
        values = {ACTIVE: self._is_active, **health.values}
        values |= {f"refused {topic}": count for topic, count in self._refusals.items()}
        if health.level is Level.OK:
            self._well_at = time.monotonic()
        else:
            values[NOT_OK_FOR] = round(time.monotonic() - self._well_at)
        health = replace(health, values=values)
        self._diagnostics.publish(to_array(self.get_clock().now().to_msg(), self.get_name(), health))


def run(node_class: Callable[[], ClwmNode], args: Sequence[str] | None = None) -> int:
    """Run one node until SIGINT, SIGTERM or SIGHUP, then deactivate and clean it up. Returns the process's exit code.

    0 after a signal, 1 when the executor failed, 2 when the parameters, or settings that ROS reads, are wrong.
    A configuration that is refused leaves the process running and unconfigured: it reports why in the diagnostics, and
    may be configured again by service.
    """
    try:
        for note in ros_environment.prepare():
            print(note, file=sys.stderr)
    except ros_environment.RosEnvironmentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rclpy.init(args=list(args) if args is not None else None, signal_handler_options=SignalHandlerOptions.NO)
    stop = StopOnSignal()
    try:
        node = node_class()
    except ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    executor = StaticSingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.params.autostart:
            _start(node, stop)
        while not stop.is_asked:
            # Signals reach Python between two spins only.
            executor.spin_once(timeout_sec=0.1)
        until = time.monotonic() + LONGEST_FAREWELL
        while node.is_needed() and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.05)
        return 0
    except (ExternalShutdownException, Interrupted):
        return 0
    except Exception:
        node.get_logger().fatal("executor failed:\n" + traceback.format_exc())
        return 1
    finally:
        node.get_logger().info("shutting down")
        if rclpy.ok():
            _shut_down(node)
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()


def _start(node: ClwmNode, stop: StopOnSignal) -> None:
    """Configure and activate. Nothing moves before the activation, so a signal may break into a long configuration."""
    stop.may_interrupt = True
    is_configured = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    stop.may_interrupt = False
    if is_configured and not stop.is_asked:
        node.trigger_activate()


def _shut_down(node: ClwmNode) -> None:
    try:
        node.trigger_shutdown()
    except Exception as error:
        # The state machine knows no way out of an interrupted transition; the clean-up is done all the same.
        node.get_logger().info(f"no transition to finalized: {error}")
        node.release()


def _place(error: Exception) -> str:
    """`file.py:line` where `error` was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
