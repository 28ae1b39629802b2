"""`clwm task`, `verdict`, `mode`, `watch`: what an operator needs of a running stack, without ROS's command line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from clwm_common import ros_environment
from clwm_common.messages import Judgement, MemoryPolicy, Mode
from clwm_common.terminal.console import PlainConsole

if TYPE_CHECKING:
    from clwm_common.ros.session import RosSession
    from clwm_operator.operator_node import OperatorNode
    from clwm_operator.view import View

ANSWER_TIMEOUT = 5.0  # s
_LOOK_EVERY = 0.25  # s between two pictures of a watch
_SAY_EVERY = 2.0  # s between two lines where nobody watches a terminal


def task(
    instruction: Annotated[str, typer.Argument(help="what to do, in words; left out with --world: its own")] = "",
    world: Annotated[str, typer.Option(help="first reset the simulated world to this task, such as place_block")] = "",
    seed: Annotated[int, typer.Option(min=0, help="of the world and of the denoising noise")] = 0,
    memory: Annotated[str, typer.Option(help="of the policy: reset, keep or restore")] = "reset",
    goal: Annotated[str, typer.Option(help="name of the goal to be judged, where the words are not one's own")] = "",
    wait: Annotated[float, typer.Option(min=0.0, help="s to wait for its end; 0: only give it")] = 0.0,
    insist: Annotated[
        bool, typer.Option("--insist", help="also when its words are unlike all that the policy was trained with")
    ] = False,
    accept_estimate: Annotated[
        bool,
        typer.Option("--accept-estimate", help="where nobody else judges it, the policy's own estimate may end it"),
    ] = False,
) -> None:
    """Give the arms of the running stack a task, also while they move.

    With --wait it is watched until it succeeds, fails or takes too long, and Ctrl-C cancels it: the arms hold. Whether
    it succeeded says the world where it can, or you do, by `clwm verdict` or on the console's page; else it ends with
    its time, or with --accept-estimate when the policy itself is sure enough: then it says so, and how often it is
    known to be wrong. Ends with 1 unless it succeeded;
    without --wait, unless it was accepted. Words that are unlike all that the policy was trained with are refused, with
    the nearest that it knows, unless you --insist.
    """
    from clwm_msgs.action import RunTask

    policies = {policy.name.lower(): policy for policy in MemoryPolicy}
    if memory not in policies:
        raise typer.BadParameter(f"--memory is {memory}; expected one of {', '.join(policies)}")
    if not instruction and not world:
        raise typer.BadParameter("say what to do, for instance: clwm task 'lift the tray', or name a --world")
    console = PlainConsole(highlight=False, soft_wrap=True)
    with _operator(console) as (node, session):
        waiting = _waiting(session)
        if world:
            own = node.reset_world(world, seed, waiting)
            instruction = instruction or own
        node.require_one_executor(waiting)
        if not wait:
            node.set_task(instruction, seed, waiting, policies[memory], goal, insist, accept_estimate)
            console.print(f"task: “{instruction}”")
            return
        with console.status(f"“{instruction}”"):
            outcome, seconds, message = node.run_task(
                RunTask.Goal(
                    instruction=instruction,
                    memory_policy=int(policies[memory]),
                    timeout=wait,
                    goal=goal,
                    insist=insist,
                    accept_estimate=accept_estimate,
                ),
                waiting,
                lambda: session.spin_once(timeout_sec=0.05),
                lambda note: console.print(note or "all is well again", markup=False),
            )
    console.print(f"“{instruction}”: {outcome} after {seconds:.1f} s" + (f" ({message})" if message else ""))
    if outcome != "succeeded":
        raise typer.Exit(1)


def verdict(
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="done or failed")],
    why: Annotated[str, typer.Option(help="in words, for whoever waits and for the recording")] = "",
) -> None:
    """Say how the task of the running stack ended: it ends, and the arms hold.

    A verdict of the world counts before yours, if it comes first. Ends with 1 when there is no task.
    """
    outcomes = {"done": Judgement.SUCCEEDED, "failed": Judgement.FAILED}
    if outcome not in outcomes:
        raise typer.BadParameter(f"outcome is {outcome}; expected one of {', '.join(outcomes)}")
    console = PlainConsole(highlight=False, soft_wrap=True)
    with _operator(console) as (node, session):
        waiting = _waiting(session)
        node.require_one_executor(waiting)
        instruction = node.judge(outcomes[outcome], why or f"`clwm verdict {outcome}`", waiting)
    console.print(f"“{instruction}”: {outcome}")


def mode(wanted: Annotated[str, typer.Argument(metavar="MODE", help="policy, hold or estop")]) -> None:
    """Choose who moves the arms: the policy, nobody (hold), or nobody until hold is chosen (estop).

    Ends with 1 when the executor refuses. To take the arms over by hand: clwm teleop.
    """
    choices = {each.name.lower(): each for each in (Mode.POLICY, Mode.HOLD, Mode.ESTOP)}
    if wanted.lower() not in choices:
        hint = "; to take the arms over, use clwm teleop" if wanted.lower() == "teleop" else ""
        raise typer.BadParameter(f"mode is {wanted}; expected one of {', '.join(choices)}{hint}")
    console = PlainConsole(highlight=False, soft_wrap=True)
    with _operator(console) as (node, session):
        waiting = _waiting(session)
        if choices[wanted.lower()] is Mode.POLICY:
            node.require_one_executor(waiting)
            node.set_mode(Mode.POLICY, waiting)
        else:
            node.stop(choices[wanted.lower()], waiting)
    console.print(f"mode {wanted.upper()}")


def recover(arm: Annotated[str, typer.Argument(metavar="ARM", help="left or right")]) -> None:
    """Let an arm behind libfranka recover from the error that has stopped it, once you have seen to it.

    It takes commands again and holds where it stands; `clwm mode policy` lets it move. Ends with 1 when it fails.
    """
    if arm not in ("left", "right"):
        raise typer.BadParameter(f"arm is {arm}; expected left or right")
    console = PlainConsole(highlight=False, soft_wrap=True)
    with _operator(console) as (node, session):
        node.recover(arm, _waiting(session))
    console.print(f"{arm} arm: takes commands")


def watch(
    seconds: Annotated[float, typer.Option(min=0.0, help="how long; 0: until Ctrl-C")] = 0.0,
) -> None:
    """Watch a running stack: who moves the arms, the task, the last chunks, every node's health.

    Where there is no terminal, a line every two seconds.
    """
    from clwm_operator import view as operator_view
    from clwm_operator.operator_node import StackError

    console = PlainConsole(highlight=False, soft_wrap=True)
    with _operator(console) as (node, session):
        with contextlib.suppress(StackError):  # a stack that is not there yet may come
            _waiting(session)(lambda: node.mode is not None, "the executor")
        until = time.monotonic() + seconds if seconds else float("inf")
        if not console.is_terminal:
            while time.monotonic() < until:
                _spin(session, min(_SAY_EVERY, until - time.monotonic()))
                console.print(operator_view.one_line(_look(node)))
            return
        with Live(operator_view.as_panel(_look(node)), console=console, auto_refresh=False) as live:
            while time.monotonic() < until:
                _spin(session, _LOOK_EVERY)
                live.update(operator_view.as_panel(_look(node)), refresh=True)


def _look(node: OperatorNode) -> View:
    from clwm_operator.view import View

    status, mode_status, episode = node.status, node.mode, node.episode
    world = "" if episode is None else f"{episode.task}, seed {episode.seed}, {episode.elapsed:.0f} s"
    if episode is not None and (episode.succeeded or episode.failed):
        world += ", succeeded" if episode.succeeded else ", failed"
    return View(
        mode=None if mode_status is None else Mode(mode_status.mode),
        owner="" if mode_status is None else mode_status.owner,
        reason="" if mode_status is None else mode_status.reason,
        phase=status.get("phase", ""),
        instruction=status.get("instruction", ""),
        world=world,
        chunks=tuple(node.chunks),
        health=dict(node.health),
    )


@contextlib.contextmanager
def _operator(console: PlainConsole) -> Iterator[tuple[OperatorNode, RosSession]]:
    # Here, since rclpy takes a second to import and --help must not wait for it.
    from clwm_common.ros.session import RosSession
    from clwm_operator.operator_node import OperatorNode, StackError

    try:
        with RosSession() as session:
            yield session.add(OperatorNode()), session
    except StackError as error:
        console.error(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _waiting(session: RosSession) -> Callable[[Callable[[], bool], str], None]:
    from clwm_operator.operator_node import StackError

    def wait(condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + ANSWER_TIMEOUT
        while not condition():
            if time.monotonic() > until:
                raise StackError(
                    f"{what} did not come within {ANSWER_TIMEOUT:.0f} s; is the stack up (clwm up)? Looked for "
                    f"{ros_environment.discovery()}"
                )
            session.spin_once(timeout_sec=0.05)

    return wait


def _spin(session: RosSession, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0.0:
        session.spin_once(timeout_sec=left)
