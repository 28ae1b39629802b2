"""`clwm teleop`: take the arms over from a terminal, a gamepad or a leader, and give them back."""

from __future__ import annotations

import contextlib
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from clwm_bringup import graph
from clwm_common import ros_environment
from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_common.terminal.console import PlainConsole
from clwm_operator.teleop.mapping import JoyMapping, LeaderMapping, MappingError, load_mapping
from clwm_operator.teleop.motion import HELD, CircleHand, JointKeys, ToolKeys
from clwm_operator.teleop.steering import CLAIM_STEPS

if TYPE_CHECKING:
    from clwm_operator.teleop.device_node import Device
    from clwm_operator.teleop.teleop_node import TeleopNode

PATIENCE = 10.0  # s for the executor to appear and to answer
JOINT_HELP = "q..u / a..j: joints 1 to 7 up / down"
TOOL_HELP = "w/s, a/d, r/f: forward/back, left/right, up/down; q/e, t/g, y/h: turn about z, y, x"
KEYS = "o, c: gripper; Tab: other arm; space: hold; Esc: give the arms back"
_SHOWN_EVERY = 0.2  # s


def teleop(
    circle: Annotated[bool, typer.Option("--circle", help="a demonstration instead of the keyboard")] = False,
    poses: Annotated[
        bool, typer.Option("--poses", help="keys move a hand instead of joints; needs `clwm up --teleop-poses`")
    ] = False,
    joy: Annotated[bool, typer.Option("--joy", help="a gamepad or joystick by ROS's joy_node")] = False,
    leader: Annotated[str, typer.Option(help="topic of a leader's JointState, whose joints the arms follow")] = "",
    relative: Annotated[
        bool, typer.Option("--relative", help="the arms move as the leader does, from wherever both are")
    ] = False,
    mapping: Annotated[
        str, typer.Option(help="what a device's axes, buttons, joints mean: a name in config/teleop, or a .yaml file")
    ] = "",
    joy_topic: Annotated[str, typer.Option(help="of the gamepad, or of a leader's pedal")] = "/joy",
    robot: Annotated[str, typer.Option(help="name of a file in config/robots")] = graph.StackOptions.robot,
    size: Annotated[float, typer.Option(min=0.0, max=0.3, help="of the circle [rad]")] = 0.1,
    turns: Annotated[int, typer.Option(min=1, help="of the circle")] = 3,
    rate: Annotated[float, typer.Option(min=20.0, max=200.0, help="commands a second [Hz]")] = 50.0,
    then: Annotated[str, typer.Option(help="mode afterwards: POLICY or HOLD")] = "HOLD",
    sim_time: Annotated[bool, typer.Option("--sim-time", help="the stack lives by /clock")] = False,
    source: Annotated[str, typer.Option(help="name under which the arms are owned; else terminal, joy or leader")] = "",
) -> None:
    """Steer the arms of the running stack by hand; the policy goes on from where you leave them.

    On the keyboard any key holds the dead-man switch for 0.6 s, as terminals tell no release: press space again and
    again to hold the arms still. When no key is pressed, the arms brake and hold. A gamepad and a leader have a
    dead-man switch of their own, which their silence releases.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    try:
        _check(circle, poses, joy, leader, relative, mapping, then)
        joy_mapping = load_mapping(JoyMapping, mapping or "joy") if joy else None
        leader_mapping = load_mapping(LeaderMapping, mapping or "leader") if leader else None
        has_keys = not (circle or joy or (leader_mapping is not None and leader_mapping.dead_man != "keyboard"))
        if has_keys and not sys.stdin.isatty():
            remedy = "name a button as dead_man in the mapping" if leader else "use --circle without one"
            raise typer.BadParameter(f"the keyboard needs a terminal; {remedy}")
        described = RobotDescription.load(robot)
        # Here, since rclpy takes a second to import and --help must not wait for it.
        from clwm_operator.teleop.device_node import JoyDevice, LeaderDevice
        from clwm_operator.teleop.teleop_node import running_teleop_node

        name = source or ("joy" if joy else "leader" if leader else "terminal")
        with running_teleop_node(name, sim_time) as node, _raw_keys(has_keys) as read:
            _spin_until(node, lambda: node.has_listened, "others")
            if node.problem:
                raise TeleopError(node.problem)
            _spin_until(node, lambda: node.is_ready, "the executor; is the stack up? (clwm up)")
            keys = _HeldKeys(read)
            if joy_mapping is not None:
                _follow(node, JoyDevice(node, described, joy_mapping, joy_topic), keys, console, 1.0 / rate)
            elif leader_mapping is not None:
                device = LeaderDevice(node, described, leader_mapping, leader, joy_topic, relative, keys.is_held)
                _follow(node, device, keys, console, 1.0 / rate)
            else:
                if not circle:
                    console.print(f"{TOOL_HELP if poses else JOINT_HELP}; {KEYS}")
                steps = _circle_steps(node, size, turns) if circle else _keyboard_steps(node, poses, read)
                _steer(node, steps, 1.0 / rate)
            _finish(node, Mode[then])
            console.print(f"the arms are given back, mode {then}")
    except MappingError as error:
        raise typer.BadParameter(str(error)) from None
    except TeleopError as error:
        console.error(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("interrupted: the arms brake and hold")


def _check(circle: bool, poses: bool, joy: bool, leader: str, relative: bool, mapping: str, then: str) -> None:
    """Raises BadParameter for options that do not go together."""
    if then not in ("POLICY", "HOLD"):
        raise typer.BadParameter(f"--then is {then}; expected POLICY or HOLD")
    if circle and poses:
        raise typer.BadParameter("--circle goes by joints; leave --poses out")
    chosen = [name for name, is_on in (("--joy", joy), ("--leader", bool(leader))) if is_on]
    others = [name for name, is_on in (("--circle", circle), ("--poses", poses)) if is_on]
    if chosen and len(chosen + others) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen + others)} are two ways to steer; choose one")
    if relative and not leader:
        raise typer.BadParameter("--relative is for a leader; name its topic by --leader")
    if mapping and not chosen:
        raise typer.BadParameter("--mapping is for a device; add --joy or --leader TOPIC")


class _HeldKeys:
    """Any key that is held, seen by its repetition. is_over: Esc was pressed."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._pressed_at = float("-inf")
        self.is_over = False

    def look(self) -> None:
        """Take in what was pressed."""
        if key := self._read():
            self.is_over = key == "\x1b"
            self._pressed_at = time.monotonic()

    def is_held(self, now: float) -> bool:
        return now - self._pressed_at <= HELD


def _follow(node: TeleopNode, device: Device, keys: _HeldKeys, console: PlainConsole, period: float) -> None:
    """Steer by a device until it, or Esc, gives the arms back; show what the human should know."""
    console.print("steering by a device; Ctrl-C ends it, and the arms hold")
    due, told, shown_at = time.monotonic(), "", 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not (device.is_over or keys.is_over):
            keys.look()
            device.step()
            if device.told != told:
                told = device.told
                console.print(told)
            if console.is_terminal and time.monotonic() - shown_at > _SHOWN_EVERY:
                shown_at = time.monotonic()
                live.update(_distance_line(device.distances), refresh=True)
            due = max(due + period, time.monotonic())
            while (left := due - time.monotonic()) > 0.0:
                node.spin(left)


def _distance_line(distances: dict[str, float]) -> str:
    if not distances:
        return ""
    return "from arm to leader [rad]: " + ", ".join(f"{name} {off:+.2f}" for name, off in distances.items())


class TeleopError(RuntimeError):
    """The executor does not do what is asked; the message says why."""


def _steer(node: TeleopNode, steps: Iterator[bool], period: float) -> None:
    """Take the arms over at the first step that holds the switch; end with the steps or with the ownership."""
    due, answer, had_arms, held_steps = time.monotonic(), None, False, 0
    for is_held in steps:
        held_steps = held_steps + 1 if is_held else 0
        if not is_held:
            answer, had_arms = None, False
        elif answer is None and held_steps > CLAIM_STEPS:
            answer = node.order(Mode.TELEOP)
        if answer is not None and answer.done() and not answer.result().accepted:
            raise TeleopError(answer.result().message)
        if had_arms and not node.owns_the_arms:
            raise TeleopError(f"the arms are taken away: {node.status.reason or node.status.mode.name}")
        had_arms = is_held and node.owns_the_arms
        due += period
        while (left := due - time.monotonic()) > 0.0:
            node.spin(left)


def _circle_steps(node: TeleopNode, size: float, turns: int) -> Iterator[bool]:
    """Stay where the arms are until they are owned, then go round."""
    while not node.owns_the_arms:
        node.ask(node.joints, node.openings)
        yield True
    hand, started = CircleHand(node.joints, node.openings, size=size, turns=turns), node.now()
    while (elapsed := node.now() - started) < hand.duration:
        node.ask(hand.at(elapsed), hand.openings)
        yield True


def _keyboard_steps(node: TeleopNode, by_poses: bool, read: Callable[[], str]) -> Iterator[bool]:
    wish = node.poses if by_poses else node.joints
    hand = (ToolKeys if by_poses else JointKeys)(wish, node.openings.copy(), node.openings)
    ask = node.ask_poses if by_poses else node.ask
    while (key := read()) != "\x1b":
        if not node.owns_the_arms:
            hand.wish, hand.openings = (node.poses if by_poses else node.joints).copy(), node.openings.copy()
        hand.measured_openings = node.openings
        if key:
            hand.press(time.monotonic(), key)
        is_held = hand.is_held(time.monotonic())
        if is_held:
            ask(hand.wish, hand.openings)
        elif node.owns_the_arms:
            node.let_go()
        yield is_held


@contextlib.contextmanager
def _raw_keys(is_needed: bool) -> Iterator[Callable[[], str]]:
    """Keys one by one and without waiting, none where no terminal is needed; it is as before afterwards."""
    if not is_needed:
        yield lambda: ""
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield lambda: sys.stdin.read(1) if select.select([sys.stdin], [], [], 0.0)[0] else ""
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _finish(node: TeleopNode, mode: Mode) -> None:
    """Let go, and order the mode that shall follow."""
    node.let_go()
    answer = node.order(mode)
    _spin_until(node, answer.done, "the executor's answer")
    if not answer.result().accepted:
        raise TeleopError(answer.result().message)


def _spin_until(node: TeleopNode, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            text = f"no sign for {PATIENCE:.0f} s of {what}"
            raise TeleopError(f"{text}; looked for {ros_environment.discovery()}")
        node.spin(0.05)
