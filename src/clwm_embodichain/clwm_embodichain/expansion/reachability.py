"""Initial states that the arms reach, spread evenly over how the hands come to the grips.

Of a candidate, a layout with a goal and two hands, each grip that the goal's expert would take first is put into a bin:
from which direction the hand comes, how manipulable the arm is at the worst point of its approach, and how the hand is
turned against the arm. Candidates whose approaches an arm does not reach with some manipulability are dropped. Of a
number of others one is taken, the likelier the rarer its bins are among candidates as the scene draws them; how rare
they are is counted once for each goal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clwm_common.robot.description import RobotDescription
from clwm_embodichain.expansion.capability_map import CapabilityMap
from clwm_embodichain.expansion.hand_starts import HandStarts, HandStartSolver
from clwm_embodichain.expansion.hand_starts import draw as draw_hands
from clwm_sim.experts.motion import OPEN, View, fingers_down
from clwm_sim.goals.base import Goal
from clwm_sim.registry import goals_in, scene_named
from clwm_sim.scenes.things import Layout
from clwm_sim.situation import Situation

DIRECTIONS = 6  # equal sectors of the bearing from a grip to where the hand starts
MANIPULABILITY = (0.15, 0.4, 0.7, 1.0)  # lower edges of its bins, as shares of home's; less is out of reach
TURNS = np.radians([-30.0, 30.0])  # edges between the bins of the hand's turn against the arm
CANDIDATES = 12  # that one is taken of
PILOTS = 300  # that are counted once for each goal
_DRAWS = 60  # at most for the candidates of one state

Bin = tuple[int, int, int, int]


@dataclass(frozen=True)
class Approach:
    """A hand's way to what it takes first: points (n, 3) m over the table from above to the grip, and its yaw, rad."""

    arm: int
    points: NDArray[np.float64]
    yaw: float


@dataclass(frozen=True)
class Candidate:
    """A state that an episode could start from. bins: of its approaches: arm, direction, manipulability and turn."""

    layout: Layout
    goal: str
    hands: HandStarts
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Start:
    """The state that an episode starts from; goal: name of the goal that it was drawn for; joints (14,) rad, widths
    (2,) m.
    """

    layout: Layout
    goal: str
    joints: NDArray[np.float64]
    widths: NDArray[np.float64]


class Reachability:
    """Draws initial states for goals of one kind in a scene."""

    def __init__(self, robot: RobotDescription) -> None:
        """Takes a second. Raises RobotError when the robot's assets are missing."""
        self._capability = CapabilityMap(robot)
        self._solver = HandStartSolver(robot)
        self._bases = np.array([arm.base_position for arm in robot.arms])
        home = np.array([arm.base_position for arm in robot.arms]) + [0.31, 0.0, 0.48]
        self._home, self._opening = home, robot.arms[0].gripper.opening_max
        self._counts: dict[tuple[str, str], Counter[Bin]] = {}

    def starts(self, scene: str, kind: str, rng: np.random.Generator, table_height: float = 0.0) -> Iterator[Start]:
        """States to start from, the first to be preferred; none where the scene has no such goal that is open.

        They are drawn for a table at height 0, so that they do not depend on table_height, m; hands start as high over
        the table as they do over that one.
        """
        for chosen in self.preferred(scene, kind, rng):
            joints = self._solver.joints(chosen.hands, table_height)
            if joints is not None:
                yield Start(chosen.layout, chosen.goal, joints, chosen.hands.widths)

    def preferred(self, scene: str, kind: str, rng: np.random.Generator) -> Iterator[Candidate]:
        """Candidates in a random order in which those of rare bins tend to be first."""
        counts = self._natural(scene, kind)
        drawn = (self.candidate(scene, kind, rng) for _ in range(_DRAWS))
        candidates = [each for _, each in zip(range(CANDIDATES), filter(None, drawn), strict=False)]
        weights = np.array([_rarity(each, counts) for each in candidates])
        # Exponential keys: sorted by them, every next one is drawn in proportion to its weight among those left.
        for index in np.argsort(rng.exponential(size=len(candidates)) / weights):
            yield candidates[index]

    def at_home(self) -> HandStarts:
        """Open hands about where they are without this part."""
        return HandStarts(self._home, np.zeros(2), np.zeros((2, 3)), np.full(2, self._opening))

    def candidate(
        self, scene: str, kind: str, rng: np.random.Generator, hands: HandStarts | None = None
    ) -> Candidate | None:
        """A layout, an open goal and hands as they are drawn, unless they are given; None when an arm does not reach
        what it has to take.
        """
        layout = scene_named(scene).draw(rng)
        now = Situation.at_start(layout, self._home, np.full(2, OPEN))
        goals = [goal for goal in goals_in(scene, layout) if goal.kind == kind and _is_open(goal, now)]
        if hands is None:
            hands = draw_hands(rng, self._capability, self._opening)
        if not goals or hands is None:
            return None
        goal = goals[rng.integers(len(goals))]
        bins = []
        for approach in approaches(goal, layout, now, self._bases[:, :2]):
            least = self._capability(approach.arm, approach.points, approach.yaw).min()
            if least < MANIPULABILITY[0]:
                return None
            bins.append(self._bin(approach, hands.points[approach.arm], least))
        return Candidate(layout, goal.name, hands, tuple(bins))

    def _bin(self, approach: Approach, start: NDArray, least: float) -> Bin:
        x, y, _ = start - approach.points[-1]
        direction = int(np.arctan2(y, x) % (2.0 * np.pi) / (2.0 * np.pi) * DIRECTIONS)
        x, y, _ = approach.points[-1] - self._bases[approach.arm]
        turn = (approach.yaw - np.arctan2(y, x) + np.pi / 2) % np.pi - np.pi / 2
        manipulability = int(np.searchsorted(MANIPULABILITY, least, side="right"))
        return approach.arm, direction, manipulability, int(np.searchsorted(TURNS, turn))

    def _natural(self, scene: str, kind: str) -> Counter[Bin]:
        """How often each bin comes up as the scene draws its states."""
        if (scene, kind) not in self._counts:
            rng = np.random.default_rng(0)
            drawn = [self.candidate(scene, kind, rng) for _ in range(PILOTS)]
            self._counts[scene, kind] = Counter(each for it in drawn if it is not None for each in it.bins)
        return self._counts[scene, kind]


def approaches(goal: Goal, layout: Layout, now: Situation, bases: NDArray) -> list[Approach]:
    """The ways to what the goal's hands take first, from the situation `now` in which both are out of the way.

    bases: (2, 2) m. A goal whose hands take nothing at first has none.
    """
    view = View(now, layout, now.tcp, now.widths, bases)
    found = []
    for arm, aim in enumerate(goal.aims(view)):
        if aim is None or aim.yaw is None:
            continue
        # Asked again from over there, the aim is the grip itself.
        over, hands = now.tcp.copy(), view.hands.copy()
        over[arm], hands[arm] = aim.position, fingers_down(aim.yaw)
        grip = goal.aims(replace(view, now=replace(now, tcp=over), tcp=over, hands=hands))[arm]
        if grip is not None and np.linalg.norm(grip.position - aim.position) > 0.03:
            points = np.linspace(aim.position, grip.position, 3)
            found.append(Approach(arm, points, aim.yaw))
    return found


def _is_open(goal: Goal, now: Situation) -> bool:
    return goal.settling > 0.0 or not goal.is_achieved(now, now)


def _rarity(candidate: Candidate, counts: Counter[Bin]) -> float:
    """Mean of what is inverse to how often its bins come up; one that never did counts as half of once."""
    return float(np.mean([1.0 / max(counts[each], 0.5) for each in candidate.bins])) if candidate.bins else 1.0
