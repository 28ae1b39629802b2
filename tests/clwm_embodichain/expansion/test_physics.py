"""The dynamics that are drawn: within their ranges, by the seed alone, and away from nominal."""

from dataclasses import asdict, fields

from hypothesis import given
from hypothesis import strategies as st

from clwm_embodichain.expansion.attempts import Attempts
from clwm_embodichain.expansion.parts import Expansion, generator
from clwm_embodichain.expansion.physics import AMOUNTS, FACTORS, draw
from clwm_sim.physics import NOMINAL, Physics


@given(st.integers(0, 10**9))
def test_every_quantity_is_within_its_range_and_the_same_for_the_same_seed(seed):
    physics = draw(generator(seed, "physics"))
    for name, (low, high) in (FACTORS | AMOUNTS).items():
        assert low <= asdict(physics)[name] <= high
    assert physics == draw(generator(seed, "physics"))


def test_every_quantity_is_drawn_and_takes_both_ends_of_its_range():
    assert set(FACTORS | AMOUNTS) == {field.name for field in fields(Physics)}
    drawn = [asdict(draw(generator(seed, "physics"))) for seed in range(200)]
    for name, (low, high) in (FACTORS | AMOUNTS).items():
        values = [each[name] for each in drawn]
        assert min(values) < low + 0.1 * (high - low) and max(values) > high - 0.1 * (high - low)


def test_dynamics_differ_between_episodes_only_where_physics_is_on():
    attempts = Attempts()
    on = [attempts.prepare("switches", "turn_lever", seed, Expansion.parse("physics")).stage for seed in range(2)]
    assert on[0].physics != NOMINAL
    off = attempts.prepare("switches", "turn_lever", 0, Expansion.parse("recovery")).stage
    assert off.physics == NOMINAL


def test_layout_and_goal_of_a_seed_are_the_same_with_and_without_physics():
    attempts = Attempts()

    def places(expansion):
        attempt = attempts.prepare("blocks", None, 4, Expansion.parse(expansion))
        return attempt.goal.name, {name: thing.position for name, thing in attempt.stage.layout.things.items()}

    assert places("physics") == places("none")
