"""Of all that want a role exactly one gets it, however they start, whatever their clocks say, and whoever dies."""

import heapq
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.claims import Claim, Contest, Stage

LISTEN, LEASE, TELL = 1.0, 1.5, 0.5
ARMS = ("/left/joint_trajectory", "/right/joint_trajectory")
OWN = Claim("executor", ARMS, "/executor", "01", "here", 1, 0.0, 1)


class Network:
    """Processes that tell each other with delays; a late joiner is told what the living told last."""

    def __init__(self, delays):
        self.contests, self.refusals, self.dead, self.most = {}, {}, set(), 0
        self._delays, self._queue, self._order = itertools.cycle(delays), [], itertools.count()

    def at(self, instant, action, *args):
        heapq.heappush(self._queue, (instant, next(self._order), action, args))

    def start(self, now, instance, skew, resources=ARMS):
        contest = Contest(replace(OWN, instance=instance), LISTEN, LEASE)
        contest.want(now, now + skew, resources)
        for other, there in self.contests.items():
            if other not in self.dead:
                self.at(now + next(self._delays), self._hear, instance, there.claim)
        self.contests[instance] = contest
        self._tick(now, instance)

    def kill(self, now, instance):
        self.dead.add(instance)

    def run(self, until):
        while self._queue and self._queue[0][0] <= until:
            now, _, action, args = heapq.heappop(self._queue)
            action(now, *args)
            self.most = max(self.most, len(self.holders()))

    def holders(self):
        living = {i: it for i, it in self.contests.items() if i not in self.dead}
        return [i for i, it in living.items() if it.claim.stage is Stage.HOLDING]

    def _hear(self, now, instance, claim):
        self.contests[instance].hear(now, claim)

    def _tick(self, now, instance):
        if instance in self.dead:
            return
        contest = self.contests[instance]
        if (winner := contest.poll(now)) is not None:
            self.refusals[instance] = winner
        for other in self.contests:
            self.at(now + next(self._delays), self._hear, other, contest.claim)
        self.at(now + 0.1, self._tick, instance)


STARTS = st.lists(st.tuples(st.floats(0.0, 4.0), st.floats(-100.0, 100.0)), min_size=2, max_size=5)
DELAYS = st.lists(st.floats(0.0, 0.39), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(STARTS, DELAYS)
def test_exactly_one_goes_on_and_never_two_at_once_whatever_the_starts_delays_and_clocks(starts, delays):
    network = Network(delays)
    for instance, (start, skew) in enumerate(starts, 1):
        network.at(start, network.start, instance, skew)
    network.run(10.0)
    assert network.most == 1 and len(network.holders()) == 1
    assert set(network.refusals) == set(network.contests) - set(network.holders())
    assert all(network.refusals[it].instance in network.holders() for it in network.refusals)


@settings(max_examples=50, deadline=None)
@given(STARTS, st.lists(st.floats(0.0, 2.0), min_size=1, max_size=20))
def test_messages_that_come_too_late_leave_one_holder_in_the_end(starts, delays):
    network = Network(delays)
    for instance, (start, skew) in enumerate(starts, 1):
        network.at(start, network.start, instance, skew)
    network.run(15.0)
    assert len(network.holders()) <= 1


@settings(max_examples=50, deadline=None)
@given(st.floats(2.0, 6.0), st.floats(0.0, 3.0), DELAYS)
def test_who_died_blocks_nobody_for_longer_than_its_lease(killed, later, delays):
    network = Network(delays)
    network.at(0.0, network.start, 1, 0.0)
    network.at(killed, network.kill, 1)
    network.at(killed + 0.001 + later, network.start, 2, 0.0)
    network.run(killed + later + LISTEN + LEASE + 1.0)
    if later > LEASE or 2 not in network.refusals:
        assert network.holders() == [2]


def test_an_earlier_newcomer_that_dies_while_it_wants_is_waited_for_no_longer_than_its_lease():
    contest = Contest(OWN, LISTEN, LEASE)
    contest.want(10.0, 10.0, ARMS)
    contest.hear(10.2, replace(OWN, instance=2, since=9.0, stage=Stage.WANTING))
    assert contest.poll(11.1) is None and contest.claim.stage is Stage.WANTING
    assert contest.poll(11.8) is None and contest.claim.stage is Stage.HOLDING


def test_a_holder_is_not_ousted_by_a_newcomer_whose_clock_is_behind_and_remembers_it():
    contest = Contest(OWN, LISTEN, LEASE)
    contest.want(0.0, 1000.0, ARMS)
    contest.poll(1.0)
    newcomer = replace(OWN, instance=2, since=1.0, stage=Stage.WANTING)
    contest.hear(2.0, newcomer)
    assert contest.poll(2.0) is None and contest.claim.stage is Stage.HOLDING
    assert contest.refused == (2.0, newcomer)


@pytest.mark.parametrize(
    "other", [replace(OWN, instance=2, role="policy"), replace(OWN, instance=2, resources=("/third/arm",)), OWN]
)
def test_another_role_other_arms_and_the_own_claim_are_no_rivals(other):
    contest = Contest(OWN, LISTEN, LEASE)
    contest.want(0.0, 0.0, ARMS)
    contest.hear(0.5, replace(other, stage=Stage.HOLDING))
    assert contest.poll(1.0) is None and contest.claim.stage is Stage.HOLDING


def test_one_shared_arm_is_enough_to_be_refused_and_the_holder_is_named():
    contest = Contest(OWN, LISTEN, LEASE)
    contest.want(0.0, 0.0, (ARMS[0], "/third/arm"))
    first = Claim("executor", ARMS, "/executor", "02", "robot-pc", 4242, 5.0, 2, Stage.HOLDING)
    contest.hear(0.2, first)
    assert contest.poll(0.2) == first and contest.claim.stage is Stage.FREE
    assert "node '/executor' on host 'robot-pc', process 4242, since " in str(first)
