"""Who is let in, as what, from where, and how often."""

import pytest

from clwm_operator.console.access import SHORTEST_TOKEN, AccessError, Role, Sessions, access_for
from clwm_operator.console.buckets import Buckets


def test_this_machine_alone_needs_no_token_and_another_address_gets_two():
    assert access_for("127.0.0.1").is_open
    others = access_for("0.0.0.0")
    assert not others.is_open and others.operator_token != others.viewer_token
    assert min(len(others.operator_token), len(others.viewer_token)) > SHORTEST_TOKEN


def test_a_token_for_viewers_makes_this_machine_ask_for_tokens():
    rules = access_for("127.0.0.1", viewer_token="v" * 20)
    assert not rules.is_open and rules.operator_token


def test_a_token_makes_its_role_and_a_wrong_one_none():
    rules = access_for("10.0.0.2", operator_token="o" * 20, viewer_token="v" * 20)
    assert rules.role_of("o" * 20) is Role.OPERATOR and rules.role_of("v" * 20) is Role.VIEWER
    assert [rules.role_of(token) for token in ("", "o" * 19, "o" * 21, "ö" * 20)] == [None] * 4


def test_no_token_is_a_role_where_none_was_set():
    assert access_for("127.0.0.1").role_of("") is None


@pytest.mark.parametrize("tokens", [("short", ""), ("", "short"), ("s" * 20, "s" * 20)])
def test_tokens_that_are_short_or_the_same_are_refused(tokens):
    with pytest.raises(AccessError):
        access_for("127.0.0.1", operator_token=tokens[0], viewer_token=tokens[1])


@pytest.mark.parametrize("host", ["localhost:8700", "127.0.0.1", "[::1]:9", "LOCALHOST:1"])
def test_a_local_console_answers_to_the_names_of_this_machine_with_any_port(host):
    assert not access_for("127.0.0.1").host_problem(host)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8700", "192.168.1.9:8700", "", "[::1", "a@localhost.b"])
def test_a_local_console_answers_to_no_other_name(host):
    assert "is not a name of this console" in access_for("127.0.0.1").host_problem(host)


def test_an_open_address_answers_to_numbers_and_to_given_names_only():
    rules = access_for("0.0.0.0", names=("Lab.example",))
    assert not rules.host_problem("192.168.1.9:8700") and not rules.host_problem("lab.example:8700")
    assert rules.host_problem("evil.example:8700")


@pytest.mark.parametrize("origin", ["http://localhost:8700", "https://localhost:8700", ""])
def test_the_consoles_own_page_and_no_page_may_ask(origin):
    assert not access_for("127.0.0.1").origin_problem(origin, "localhost:8700")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:8701", "null", "file://", "http://localhost:8700.evil.example"]
)
def test_a_page_of_another_origin_may_not_ask(origin):
    assert "may order nothing" in access_for("127.0.0.1").origin_problem(origin, "localhost:8700")


def test_a_session_ends_by_time_and_by_hand():
    sessions = Sessions()
    early, late = sessions.open(0.0, Role.VIEWER), sessions.open(1000.0, Role.OPERATOR)
    assert sessions.role_of(43_100.0, early) is Role.VIEWER
    assert sessions.role_of(43_300.0, early) is None and sessions.role_of(43_300.0, late) is Role.OPERATOR
    sessions.close(late)
    assert sessions.role_of(43_300.0, late) is None and sessions.role_of(0.0, "guess") is None


def test_sessions_do_not_pile_up():
    sessions = Sessions()
    keys = [sessions.open(0.0, Role.VIEWER) for _ in range(100)]
    assert sum(sessions.role_of(0.0, key) is not None for key in keys) == 64
    assert sessions.role_of(0.0, keys[-1]) is Role.VIEWER


def test_of_two_hundred_requests_in_a_second_those_within_burst_and_rate_pass():
    buckets = Buckets(rate=10.0, burst=20.0)
    assert sum(buckets.wait(index / 200.0, "one") == 0.0 for index in range(200)) == 29
    assert buckets.wait(1.0, "another") == 0.0


def test_whoever_waits_as_long_as_told_may_ask_again():
    buckets = Buckets(rate=10.0, burst=1.0)
    assert buckets.wait(5.0, "one") == 0.0
    wait = buckets.wait(5.0, "one")
    assert 0.0 < wait <= 0.1 and buckets.wait(5.0 + wait + 1e-9, "one") == 0.0


def test_buckets_of_many_names_do_not_pile_up():
    buckets = Buckets(rate=1.0, burst=1.0)
    for index in range(1000):
        buckets.wait(0.0, str(index))
    assert len(buckets._left) <= 256
