"""When a dead process is started again, and when not."""

from hypothesis import given
from hypothesis import strategies as st

from clwm_bringup.restarts import LIVED_WELL, LONGEST_DELAY, MAX_DEATHS, WRONG_PARAMETERS, GiveUp, Restart, Restarts


def die_repeatedly(restarts, times, lifetime, code=1):
    now, decisions = 0.0, []
    for _ in range(times):
        restarts.started("policy", now)
        now += lifetime
        decisions.append((now, restarts.died("policy", code, now)))
    return decisions


def test_delays_double_up_to_a_limit_and_then_it_is_given_up():
    decisions = die_repeatedly(Restarts(), MAX_DEATHS + 1, lifetime=1.0)
    delays = [decision.at - now for now, decision in decisions[:-1]]
    assert delays == [min(0.5 * 2**index, LONGEST_DELAY) for index in range(MAX_DEATHS)]
    assert isinstance(decisions[-1][1], GiveUp) and "6 times in a row" in decisions[-1][1].reason


def test_a_node_that_lived_well_starts_afresh():
    decisions = die_repeatedly(Restarts(), 3 * MAX_DEATHS, lifetime=LIVED_WELL)
    assert all(isinstance(decision, Restart) and decision.at - now == 0.5 for now, decision in decisions)


def test_wrong_parameters_are_not_tried_again():
    (_, decision), *_ = die_repeatedly(Restarts(), 1, lifetime=0.1, code=WRONG_PARAMETERS)
    assert isinstance(decision, GiveUp) and "parameters" in decision.reason and decision.is_refusal


def test_a_node_that_has_run_before_is_given_up_alone():
    restarts = Restarts()
    restarts.started("policy", 0.0)
    restarts.died("policy", -9, 100.0)
    restarts.started("policy", 101.0)
    assert restarts.died("policy", WRONG_PARAMETERS, 102.0).is_refusal is False


def test_a_signal_is_named_in_the_reason():
    (_, decision), *_ = die_repeatedly(Restarts(), 1, lifetime=0.1, code=-11)
    assert "killed by signal 11" in decision.reason


@given(st.lists(st.tuples(st.sampled_from(["sim", "policy"]), st.floats(0.0, 100.0)), max_size=40))
def test_one_nodes_deaths_never_count_for_another(deaths):
    restarts, alone, now = Restarts(), Restarts(), 0.0
    for name, lifetime in deaths:
        restarts.started(name, now)
        if name == "policy":
            alone.started(name, now)
        now += lifetime
        decision = restarts.died(name, 1, now)
        if name == "policy":
            assert decision == alone.died(name, 1, now)
