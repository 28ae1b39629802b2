"""One operator in charge at a time; taking over is an act that all see."""

import pytest

from clwm_operator.console.access import Role
from clwm_operator.console.charge import ABSENCE, Charge


@pytest.fixture
def charge():
    charge = Charge()
    charge.sit(0.0, "a", "anna", Role.OPERATOR)
    charge.sit(0.0, "b", "ben", Role.OPERATOR)
    charge.sit(0.0, "v", "vera", Role.VIEWER)
    return charge


def test_the_first_operator_who_orders_is_in_charge(charge):
    assert charge.holder is None and charge.problem("b") == ""
    assert charge.holder.name == "ben" and charge.note == "ben (page 2) is in charge"


def test_a_second_operator_is_refused_and_told_who_is_in_charge(charge):
    charge.problem("a")
    assert charge.problem("b") == "anna (page 1) is in charge; take over first"
    assert charge.problem("a") == ""


def test_taking_over_changes_hands_and_says_so(charge):
    charge.problem("a")
    assert charge.take("b") == "" and charge.note == "ben (page 2) has taken over from anna (page 1)"
    assert "ben (page 2) is in charge" in charge.problem("a") and charge.problem("b") == ""


def test_a_viewer_neither_orders_nor_takes_over(charge):
    assert "a viewer orders nothing" in charge.problem("v")
    charge.problem("a")
    assert "a viewer orders nothing" in charge.take("v") and charge.holder.name == "anna"


def test_a_page_that_was_never_opened_does_nothing(charge):
    assert "not connected" in charge.problem("x") and "not connected" in charge.take("x")
    assert charge.holder is None


def test_a_page_that_is_loaded_anew_stays_in_charge_and_one_that_stays_away_does_not(charge):
    charge.problem("a")
    charge.leave(10.0, "a")
    charge.look(10.0 + ABSENCE)
    assert charge.sit(10.0 + ABSENCE, "a", "anna", Role.OPERATOR).number == 1
    charge.look(30.0)
    assert charge.holder.name == "anna"
    charge.leave(40.0, "a")
    charge.look(40.0 + ABSENCE + 0.1)
    assert charge.holder is None and "anna (page 1) has left" in charge.note
    assert charge.problem("b") == ""


def test_an_absent_page_orders_nothing(charge):
    charge.problem("a")
    charge.leave(1.0, "a")
    assert "not connected" in charge.problem("a")


def test_a_page_with_two_connections_has_left_when_both_have_ended(charge):
    charge.problem("a")
    charge.sit(1.0, "a", "anna", Role.OPERATOR)
    charge.leave(2.0, "a")
    charge.look(100.0)
    assert charge.holder.name == "anna"


def test_whoever_comes_back_as_a_viewer_is_not_in_charge(charge):
    charge.problem("a")
    charge.leave(1.0, "a")
    charge.sit(1.5, "a", "anna", Role.VIEWER)
    assert charge.holder is None


def test_charge_is_given_up_by_its_holder_only(charge):
    charge.problem("a")
    assert charge.give_up("b") == "this page is not in charge"
    assert charge.give_up("a") == "" and charge.holder is None


def test_pages_that_have_left_are_forgotten(charge):
    for index in range(100):
        charge.sit(1.0, f"guest{index}", "guest", Role.VIEWER)
        charge.leave(1.0, f"guest{index}")
    assert len(charge._seats) == 3 and len(charge.seats) == 3
