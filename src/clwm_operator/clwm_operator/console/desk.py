"""One console on the event loop: who sits at it, what they order, what they are shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from clwm_common.messages import Judgement, MemoryPolicy, Mode, goal_problem, instruction_problem
from clwm_common.recordings.corrections import CorrectionLabel
from clwm_operator.console.access import Role
from clwm_operator.console.charge import Charge, Seat
from clwm_operator.console.console_node import ConsoleNode, MemoryAct, OrderError
from clwm_operator.console.facts import Facts
from clwm_operator.console.page_state import Heard, page_state
from clwm_operator.console.recording import RecordingProcess
from clwm_operator.teleop.jog import Hand
from clwm_operator.teleop.steering import OLDEST_ARMS, Arms, Ask, Command, LetGo, OrderTeleop, Steering

STATE_PERIOD = 0.2  # s between two states for the pages
STEER_PERIOD = 0.02  # s between two targets for the arms, and half that of states while a human steers
ANSWER_TIMEOUT = 5.0  # s
DISCOVERY = 2.0  # s for which a stop waits for an executor that is not found yet
_HISTORY = 30
_CHUNKS = 50
_NOBODY = 503  # serves what is asked


@dataclass(frozen=True)
class Answer:
    """To an order. status: of HTTP; message: why it was refused, or what was done."""

    status: int
    message: str


class Page(Protocol):
    """A connected page, as the desk sees it."""

    def tell(self, kind: str, text: str) -> None:
        """Send this JSON; of kind "state" only the newest counts."""

    def show(self, camera: str) -> None:
        """There is a newer picture."""


class Desk:
    """All methods are called on the event loop's thread; say: takes a line for the log."""

    def __init__(
        self,
        node: ConsoleNode,
        watch: Callable[[bool], Future[None]],
        steering: Steering,
        facts: Facts,
        recorder: RecordingProcess,
        say: Callable[[str], None],
    ) -> None:
        """watch: has the node see pictures and arms, or not."""
        self.node, self.facts, self.charge, self.recorder = node, facts, Charge(), recorder
        self._watch, self._steering, self._say = watch, steering, say
        self._pages: set[Page] = set()
        self._chunks: deque[str] = deque(maxlen=_CHUNKS)
        self._memories: list[str] = []  # that can be restored, the newest first
        self._history: deque[dict[str, Any]] = deque(maxlen=_HISTORY)
        self._stops: dict[Mode, asyncio.Task[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Tell the pages how things are, again and again."""
        while True:
            self.charge.look(time.monotonic())
            if self._pages:
                text = json.dumps({"kind": "state", **self._state()}, allow_nan=False, separators=(",", ":"))
                for page in list(self._pages):
                    page.tell("state", text)
            await asyncio.sleep(STATE_PERIOD / 2.0 if self._steering.is_taken else STATE_PERIOD)

    def come(self, page: Page, key: str, name: str, role: Role) -> Seat:
        """A page has connected."""
        if not self._pages:
            self._watch(True)
        self._pages.add(page)
        seat = self.charge.sit(time.monotonic(), key, name, role)
        hello = {"kind": "hello", "role": role.name, "number": seat.number, "facts": self.facts.as_plain()}
        page.tell("hello", json.dumps(hello))
        self._start(self._look_for_memories())
        for text in self._chunks:
            page.tell("chunk", text)
        return seat

    def go(self, page: Page, seat: Seat) -> None:
        """Its connection has ended: what it steered is let go."""
        self._pages.discard(page)
        self.charge.leave(time.monotonic(), seat.key)
        # An old connection may end after the page has made a new one.
        if self._steering.seat == seat.key and all(it.key != seat.key for it in self.charge.seats):
            self._perform(self._steering.give_back())
        if not self._pages:
            self._watch(False)

    def on_picture(self, camera: str) -> None:
        for page in self._pages:
            page.show(camera)

    def on_chunk(self, story: dict[str, Any]) -> None:
        """One chunk's whole story, for JSON."""
        text = json.dumps({"kind": "chunk", **story}, allow_nan=False)
        self._chunks.append(text)
        for page in self._pages:
            page.tell("chunk", text)

    def on_path(self, story: dict[str, Any]) -> None:
        """Where the tools will go, for JSON."""
        text = json.dumps({"kind": "path", **story}, allow_nan=False)
        for page in self._pages:
            page.tell("path", text)

    def on_hand(self, seat: Seat, hand: Hand) -> None:
        """A word of whoever steers; another one's is not heard, and takes no charge."""
        if self.charge.holder is not None and self.charge.holder.key == seat.key:
            self._steering.hear(time.monotonic(), seat.key, hand)

    async def stop(self, who: str, mode: Mode) -> Answer:
        """HOLD or ESTOP, whoever is in charge. Requests while one is under way are answered with it."""
        self._perform(self._steering.release())
        if mode not in self._stops or self._stops[mode].done():
            self._stops[mode] = asyncio.create_task(self._stop(who, mode))
        return await asyncio.shield(self._stops[mode])

    async def _stop(self, who: str, mode: Mode) -> Answer:
        until = time.monotonic() + DISCOVERY
        answer = await self._answered(lambda: self.node.stop(mode))
        while answer.status == _NOBODY and time.monotonic() < until:
            await asyncio.sleep(0.05)
            answer = await self._answered(lambda: self.node.stop(mode))
        return self._told(who, mode.name, answer)

    async def resume(self, key: str) -> Answer:
        """Hand the arms to the policy, which goes on from where they are."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        self._perform(self._steering.give_back())
        return await self._order(self.name_of(key), Mode.POLICY.name, lambda: self.node.choose(Mode.POLICY))

    async def take_over(self, key: str) -> Answer:
        """The page may steer once it holds the switch."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        was_taken = self._steering.is_taken
        self._perform(self._steering.take(key))
        if not was_taken:
            self._start(self._steer())
        return self._told(self.name_of(key), "take over", Answer(200, "hold the switch to move"))

    async def let_be(self, key: str) -> Answer:
        """End a take-over; the arms hold."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        self._perform(self._steering.give_back())
        return self._told(self.name_of(key), "give the arms up", Answer(200, "the arms hold"))

    async def task(
        self,
        key: str,
        instruction: str,
        goal: str,
        memory: MemoryPolicy,
        seed: int,
        insist: bool,
        accept_estimate: bool,
    ) -> Answer:
        """Give the arms a task."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        if problem := instruction_problem(instruction) or goal_problem(goal):
            return Answer(400, problem)
        what = f"task “{instruction}”, memory {memory.name}"
        answer = await self._order(
            self.name_of(key),
            what,
            lambda: self.node.give_task(instruction, goal, memory, seed, insist, accept_estimate),
        )
        return answer if answer.status != 200 else Answer(200, self.facts.wording(instruction))

    async def end_task(self, key: str, is_done: bool) -> Answer:
        """Say that the present task is done, or has failed: it ends, and the arms hold."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        what, who = "done" if is_done else "failed", self.name_of(key)
        try:
            self.node.end_task(Judgement.SUCCEEDED if is_done else Judgement.FAILED, f"said by {who}")
        except OrderError as error:
            return self._told(who, what, Answer(409, str(error)))
        return self._told(who, what, Answer(200, f"the task is {what}: the arms hold"))

    async def ask(self, instruction: str, memory: MemoryPolicy) -> Answer:
        """What is known of a sentence, and whether the policy would take it; nothing changes."""
        if problem := instruction_problem(instruction):
            return Answer(400, problem)
        answer = await self._answered(lambda: self.node.ask_about(instruction, memory))
        return answer if answer.status != 200 else Answer(200, self.facts.wording(instruction))

    async def reset_world(self, key: str, task: str, seed: int) -> Answer:
        """Begin an episode of the simulated world."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        if not self.facts.is_simulated:
            return Answer(409, f"robot '{self.facts.robot}' is not simulated: its world cannot be reset")
        self._perform(self._steering.give_back())
        return await self._order(self.name_of(key), f"world {task}, seed {seed}", lambda: self.node.reset(task, seed))

    async def label_correction(self, key: str, label: CorrectionLabel) -> Answer:
        """Say of the last correction what it was; whoever records keeps it."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        what = f"last correction: {label.name}"
        return await self._order(self.name_of(key), what, lambda: self.node.label_correction(label))

    async def record(self, key: str, is_wanted: bool) -> Answer:
        """Begin to record every task that is given, or end it."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        who, recorder = self.name_of(key), self.recorder
        if not is_wanted:
            what, ran = "end of recording", recorder.is_on
            await recorder.stop()
            return self._told(who, what, Answer(200, recorder.said) if ran else Answer(409, "nothing is recorded here"))
        if not recorder.is_on and self.node.is_recorded:
            return self._told(who, "record", Answer(409, "another recorder runs already; end that clwm record first"))
        await recorder.start()
        return self._told(who, "record", Answer(200, "every task that is given from now on is recorded"))

    async def remember(self, key: str, act: MemoryAct, name: str) -> Answer:
        """Save the policy's memory under this name, or restore it."""
        if refusal := self.charge.problem(key):
            return Answer(409, refusal)
        what = f"{act.name.lower()} memory '{name}'"
        answer = await self._order(self.name_of(key), what, lambda: self.node.remember(act, name))
        self._start(self._look_for_memories())
        return answer

    async def _look_for_memories(self) -> None:
        with contextlib.suppress(OrderError, asyncio.TimeoutError):  # without a policy there are none to restore
            listed = asyncio.wrap_future(self.node.remember(MemoryAct.LIST))
            self._memories = list((await asyncio.wait_for(listed, ANSWER_TIMEOUT)).names)

    def change_charge(self, key: str, is_taken: bool) -> Answer:
        """Take charge, from whoever has it, or give it up. Whoever steered lets go."""
        before = self.charge.holder
        refusal = self.charge.take(key) if is_taken else self.charge.give_up(key)
        if refusal:
            return Answer(409, refusal)
        if before is not None and (not is_taken or before.key != key):
            self._perform(self._steering.give_back())
        return self._told(self.name_of(key), "charge", Answer(200, self.charge.note))

    async def _order(self, who: str, what: str, order: Callable[[], Future[Any]]) -> Answer:
        return self._told(who, what, await self._answered(order))

    async def _answered(self, order: Callable[[], Future[Any]]) -> Answer:
        try:
            response = await asyncio.wait_for(asyncio.wrap_future(order()), ANSWER_TIMEOUT)
        except OrderError as error:
            return Answer(_NOBODY, str(error))
        except asyncio.TimeoutError:
            return Answer(504, f"no answer within {ANSWER_TIMEOUT:.0f} s; look at the nodes' health")
        return Answer(200, response.message) if response.accepted else Answer(409, response.message)

    def _told(self, who: str, what: str, answer: Answer) -> Answer:
        outcome = "" if answer.status == 200 else answer.message
        self._history.append({"at": time.time(), "who": who, "what": what, "refusal": outcome})
        self._say(f"{what}, by {who}" + (f": refused: {outcome}" if outcome else ""))
        return answer

    async def _steer(self) -> None:
        while self._steering.is_taken:
            now, measured = time.monotonic(), self.node.measured
            arms = None
            if measured is not None and now - measured.heard_at <= OLDEST_ARMS:
                arms = Arms(measured.joints, measured.openings, self.node.owns_the_arms)
            self._perform(self._steering.step(now, arms))
            await asyncio.sleep(STEER_PERIOD)

    def _perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Ask(joints, openings):
                    self.node.ask(joints, openings)
                case LetGo():
                    self.node.let_go()
                case OrderTeleop():
                    self._start(self._claim())

    async def _claim(self) -> None:
        answer = await self._order(self.name_of(self._steering.seat), Mode.TELEOP.name, self._give_arms)
        if answer.status != 200:
            self._perform(self._steering.refused(answer.message))

    def _give_arms(self) -> Future[Any]:
        return self.node.choose(Mode.TELEOP)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def name_of(self, key: str) -> str:
        """Who sits at the page with this key."""
        return next((str(seat) for seat in self.charge.seats if seat.key == key), "somebody")

    def _state(self) -> dict[str, Any]:
        now, node = time.monotonic(), self.node
        pictures = dict(node.pictures)
        holder, seats = self.charge.holder, self.charge.seats
        return {
            **page_state(self._heard(now)),
            "cameras": {
                name: {"age": now - pictures[name].taken_at, "problem": pictures[name].problem}
                if name in pictures
                else None
                for name in self.facts.cameras
            },
            "charge": {
                "holder": holder and holder.number,
                "name": str(holder) if holder else "",
                "note": self.charge.note,
                "operators": sum(seat.role is Role.OPERATOR for seat in seats),
                "viewers": sum(seat.role is Role.VIEWER for seat in seats),
            },
            "steering": {"act": self._steering.act.value, "note": self._steering.note},
            "memories": self._memories,
            "recording": {
                "is_on": self.recorder.is_on,
                "is_elsewhere": not self.recorder.is_on and node.is_recorded,
                "said": self.recorder.said,
            },
            "history": list(self._history),
        }

    def _heard(self, now: float) -> Heard:
        node = self.node
        mode, episode, measured = node.mode, node.episode, node.measured
        world = None
        if episode is not None:
            world = {"task": episode.task, "seed": episode.seed, "elapsed": round(episode.elapsed, 1)}
        return Heard(
            now=now,
            clock=node.now(),
            mode=None if mode is None else Mode(mode.mode),
            owner="" if mode is None else mode.owner,
            reason="" if mode is None else mode.reason,
            status=node.status,
            verdicts=node.verdicts.of(node.status.get("task_epoch", -1)),
            world=world,
            health=dict(node.health),
            health_at=dict(node.health_at),
            measured_for=None if measured is None else now - measured.heard_at,
            joints=None if measured is None else measured.joints,
            tools=None if measured is None else measured.poses,
            openings=None if measured is None else measured.openings,
        )
