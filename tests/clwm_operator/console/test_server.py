"""What the console answers to requests of all kinds, without a browser."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from clwm_bringup import cli
from clwm_common.recordings.reader import read_recording
from clwm_operator.console.charge import ABSENCE

from .conftest import PATIENCE, environment, wait_for

ONE, OTHER = "1" * 32, "2" * 32
ORDERS = {
    "/hold": {}, "/estop": {}, "/policy": {}, "/take_over": {}, "/give_up": {}, "/charge": {"take": True},
    "/task": {"instruction": "lift the tray"}, "/ask": {"instruction": "lift the tray"},
    "/world": {"task": "lift_tray", "seed": 1}, "/correction": {"label": "DISCARDED"},
    "/verdict": {"is_done": True}, "/record": {"is_wanted": True},
    "/memory/save": {"name": "monday"}, "/memory/restore": {"name": "monday"},
}  # fmt: skip


@contextmanager
def page(console, key=ONE, token=None, **headers):
    """A live connection that has said hello."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"ws://127.0.0.1:{console.port}/live"
    with connect(url, additional_headers=headers, open_timeout=PATIENCE, max_size=None) as socket:
        socket.send(json.dumps({"kind": "hello", "key": key, "name": "anna"}))
        yield socket


def heard(socket, condition):
    """The first message that is as wanted: a dictionary, or bytes of a picture."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        data = socket.recv(timeout=PATIENCE)
        message = data if isinstance(data, bytes) else json.loads(data)
        if isinstance(message, dict) and message["kind"] == "state":
            socket.send('{"kind":"seen"}')
        if condition(message):
            return message
    pytest.fail("what was waited for did not come")


def state(socket, condition=lambda it: True):
    return heard(socket, lambda it: isinstance(it, dict) and it["kind"] == "state" and condition(it))


def test_a_page_is_told_facts_states_and_chunks_and_shown_pictures(console):
    with page(console) as socket:
        hello = heard(socket, lambda it: isinstance(it, dict))
        assert hello["role"] == "OPERATOR" and len(hello["facts"]["lower"]) == 14
        picture = heard(socket, lambda it: isinstance(it, bytes))
        assert picture[0] < 3 and picture[1:3] == b"\xff\xd8"
        told = state(socket, lambda it: it["joints"] and it["mode"] != "SILENT")
        assert (
            len(told["joints"]) == 14 and -3.1 < told["joints"][3] < -1.0
        )  # an elbow is bent, wherever the hand was led
        assert heard(socket, lambda it: isinstance(it, dict) and it["kind"] == "chunk")["memory_updates"] > 0


def test_a_page_is_told_where_the_tools_of_a_new_chunk_go_in_the_head_cameras_picture(console):
    with page(console) as socket:
        path = heard(socket, lambda it: isinstance(it, dict) and it["kind"] == "path")
    left, right = path["tools"]
    assert path["camera"] == "head" and len(left) == len(right) == 16
    assert left[0][0] != pytest.approx(left[-1][0], abs=0.01) and right[0] == right[-1]


def test_a_camera_sends_its_next_picture_only_after_the_last_one_was_shown(console):
    with page(console) as socket:
        heard(socket, lambda it: isinstance(it, bytes) and it[0] == 0)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            data = socket.recv(timeout=PATIENCE)
            assert isinstance(data, str) or data[0] != 0
        socket.send('{"kind":"got","camera":0}')
        heard(socket, lambda it: isinstance(it, bytes) and it[0] == 0)


def test_a_slow_page_is_sent_the_newest_state_when_it_has_shown_the_last_one(console):
    with page(console) as socket:
        state(socket)
        time.sleep(0.5)  # what is under way by then is one state more
        quiet, until = [], time.monotonic() + 1.0
        while (left := until - time.monotonic()) > 0.0:
            with suppress(TimeoutError):
                quiet.append(socket.recv(timeout=left))
        assert sum('"kind":"state"' in it for it in quiet if isinstance(it, str)) <= 1
        socket.send('{"kind":"seen"}')
        assert state(socket, lambda it: True)["at"] > 0.0


def test_hold_and_estop_need_no_live_connection_and_no_charge(console):
    with page(console) as socket:
        for path, mode in (("/estop", "ESTOP"), ("/hold", "HOLD")):
            assert console.order(path).status == 200
            assert state(socket, lambda it, mode=mode: it["mode"] == mode)["why"] == f"{mode} was ordered"
        assert console.order("/policy", page=ONE).status == 200
        state(socket, lambda it: it["mode"] == "POLICY")


def test_what_the_executor_refuses_is_refused_with_its_reason(console):
    with page(console) as socket:
        state(socket)
        console.order("/estop")
        answer = console.order("/policy", page=ONE)
        assert answer.status == 409 and "ESTOP is latched; set HOLD first" in answer.said["message"]
        console.order("/hold")
        answer = console.order("/task", {"instruction": "fly"}, page=ONE)
        assert answer.status == 409 and answer.said["message"] == "this policy cannot fly"


def test_a_task_is_given_and_its_wording_judged(console):
    with page(console) as socket:
        state(socket)
        answer = console.order("/task", {"instruction": "Put the block on the pad."}, page=ONE)
        assert answer.status == 200 and "trained with this sentence, for 'place_block'" in answer.said["message"]
        told = state(socket, lambda it: it["instruction"] == "Put the block on the pad.")
        assert told["history"][-1]["what"].startswith("task “Put the block")
        answer = console.order("/ask", {"instruction": "dance"}, page=ONE)
        assert answer.status == 200 and "not trained with this sentence" in answer.said["message"]
        assert state(socket)["instruction"] == "Put the block on the pad."


def test_recording_begins_and_ends_on_the_page_and_a_second_recorder_is_refused(console, guarded):
    with page(console) as socket:
        state(socket)
        assert console.order("/record", {"is_wanted": False}, page=ONE).said["message"] == "nothing is recorded here"
        assert console.order("/record", {"is_wanted": True}, page=ONE).status == 200
        state(socket, lambda it: it["recording"]["is_on"] and "every task that is given" in it["recording"]["said"])
        with page(guarded, OTHER, guarded.tokens["operator"]) as other:
            state(other, lambda it: it["recording"]["is_elsewhere"])
            answer = guarded.order("/record", {"is_wanted": True}, page=OTHER, token=guarded.tokens["operator"])
            assert answer.status == 409 and "another recorder runs already" in answer.said["message"]
        assert console.order("/task", {"instruction": "Put the block on the pad."}, page=ONE).status == 200
        files = console.folder / "out" / "recordings"
        wait_for(lambda: list(files.glob("*.mcap")), "a recording")
        answer = console.order("/record", {"is_wanted": False}, page=ONE)
        assert answer.status == 200 and "recordings in" in answer.said["message"]
        assert not state(socket, lambda it: not it["recording"]["is_on"])["recording"]["is_on"]
    for recording in files.glob("*.mcap"):  # a task that was there already has one of its own
        assert read_recording(recording).facts["robot"] == "dual_fr3_mujoco"


@pytest.mark.parametrize(("is_done", "outcome"), [(True, "SUCCEEDED"), (False, "FAILED")])
def test_an_operators_verdict_ends_the_task_and_is_shown_with_its_giver(console, is_done, outcome):
    with page(console) as socket:
        state(socket, lambda it: it["mode"] != "SILENT")
        assert console.order("/task", {"instruction": f"wave {outcome}"}, page=ONE).status == 200
        told = state(socket, lambda it: it["instruction"] == f"wave {outcome}")
        answer = console.order("/verdict", {"is_done": is_done}, page=ONE)
        assert answer.status == 200 and "the arms hold" in answer.said["message"]
        ended = state(socket, lambda it: it["instruction"] == "" and it["verdict"])
        assert ended["epoch"] == told["epoch"] and ended["verdict"]["outcome"] == outcome
        assert ended["verdict"]["judge"] == "operator" and "said by anna" in ended["verdict"]["reason"]
        answer = console.order("/verdict", {"is_done": is_done}, page=ONE)
        assert answer.status == 409 and "there is no task to judge" in answer.said["message"]


def test_the_command_says_how_a_task_ended_and_that_there_is_none(console):
    def say(*words):
        command = [sys.executable, "-m", "clwm_bringup", "verdict", *words]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE)

    with page(console) as socket:
        state(socket, lambda it: it["mode"] != "SILENT")
        assert console.order("/task", {"instruction": "wave once"}, page=ONE).status == 200
        state(socket, lambda it: it["instruction"] == "wave once")
        done = say("failed", "--why", "it fell")
        assert (done.returncode, done.stdout) == (0, "“wave once”: failed\n")
        assert state(socket, lambda it: it["instruction"] == "")["verdict"]["reason"] == "it fell"
    nothing = say("done")
    assert nothing.returncode == 1 and "there is no task to judge" in nothing.stderr + nothing.stdout


def test_a_second_operator_orders_only_after_taking_over_which_both_see(console):
    with page(console, ONE) as one, page(console, OTHER) as other:
        state(one), state(other)
        assert console.order("/charge", {"take": True}, page=ONE).status == 200
        for path in ("/policy", "/take_over", "/task", "/verdict", "/world"):
            answer = console.order(path, ORDERS[path], page=OTHER)
            assert answer.status == 409 and "is in charge; take over first" in answer.said["message"], path
        assert console.order("/hold", page=OTHER).status == 200  # stopping is for all operators
        assert console.order("/charge", {"take": True}, page=OTHER).status == 200
        for socket in (one, other):
            assert "has taken over from" in state(socket, lambda it: "taken" in it["charge"]["note"])["charge"]["note"]
        assert console.order("/policy", page=ONE).status == 409
        console.order("/charge", {"take": False}, page=OTHER)


def test_an_order_of_a_page_that_is_not_open_is_refused(console):
    time.sleep(0.1)
    answer = console.order("/policy", page="f" * 32)
    assert answer.status == 409 and "not connected" in answer.said["message"]


def test_the_charge_of_a_page_that_has_gone_is_free_after_a_while(console):
    with page(console, ONE) as one:
        state(one)
        assert console.order("/charge", {"take": True}, page=ONE).status == 200
    with page(console, OTHER) as other:
        state(other, lambda it: it["charge"]["holder"] is None)
        assert console.order("/policy", page=OTHER).status == 200
    assert ABSENCE < PATIENCE


@pytest.mark.parametrize("path", ORDERS)
def test_a_viewer_is_refused_whatever_it_orders(guarded, path):
    answer = guarded.order(path, ORDERS[path], page=ONE, token=guarded.tokens["viewer"])
    assert answer.status == 403 and "a viewer orders nothing" in answer.said["message"]


def test_a_viewers_hand_moves_nothing(guarded):
    with page(guarded, ONE, guarded.tokens["viewer"]) as socket:
        at = state(socket)["at"]
        socket.send(json.dumps({"kind": "hand", "dead_man": True, "joint": 1.0, "seen": at}))
        assert state(socket, lambda it: it["at"] > at)["steering"]["act"] == "free"


@pytest.mark.parametrize("path", ORDERS)
def test_without_a_token_every_order_is_refused(guarded, path):
    for token in (None, "wrong", guarded.tokens["operator"] + "x"):
        assert guarded.order(path, ORDERS[path], page=ONE, token=token).status in (401, 429)


def test_without_a_token_nothing_is_seen(guarded):
    with pytest.raises(InvalidStatus, match="403"), page(guarded):
        pass
    with pytest.raises(InvalidStatus, match="403"), page(guarded, Authorization="Bearer wrong"):
        pass


def test_a_token_is_not_taken_from_an_address_and_a_cookie_does_not_hold_it(guarded):
    token = guarded.tokens["operator"]
    assert guarded.ask("GET", f"/me?token={token}").said["role"] is None
    answer = guarded.ask("POST", "/login", {"token": token})
    cookie = answer.headers["set-cookie"]
    assert answer.status == 200 and answer.said == {"role": "OPERATOR"}
    assert token not in cookie and "HttpOnly" in cookie and "SameSite=strict" in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert guarded.ask("GET", "/me", headers=session).said["role"] == "OPERATOR"
    guarded.ask("POST", "/logout", {}, headers=session)
    assert guarded.ask("GET", "/me", headers=session).said["role"] is None


def test_tokens_can_be_guessed_slowly_only(guarded):
    answers = [guarded.ask("POST", "/login", {"token": f"guess {index}"}) for index in range(12)]
    assert [it.status for it in answers[:3]] == [401] * 3 and 429 in [it.status for it in answers]
    assert int([it for it in answers if it.status == 429][-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_origin_neither_orders_nor_sees(console, origin):
    for path, body in ORDERS.items():
        assert console.ask("POST", path, body, headers={"Origin": origin}).status == 403, path
    with pytest.raises(InvalidStatus, match="403"), page(console, Origin=origin):
        pass


def test_another_name_for_this_address_is_not_answered(console):
    for method, path in (("GET", "/"), ("GET", "/me"), ("POST", "/hold")):
        assert console.ask(method, path, host="evil.example").status == 403


def test_orders_are_not_given_by_get(console):
    assert {console.ask("GET", path).status for path in ORDERS} == {405}


def test_an_instruction_of_a_megabyte_is_refused_and_the_console_lives(console):
    answer = console.order("/task", {"instruction": "x" * 1_000_000}, page=ONE)
    assert answer.status == 413 and "more than 4096 bytes" in answer.said["message"]
    assert console.ask("GET", "/me").status == 200


@pytest.mark.parametrize(
    "body",
    [b"no json", b"[]", {"instruction": 3}, {}, {"instruction": "x", "mode": 0}, {"instruction": "x", "memory": "EAT"},
     {"instruction": "x", "seed": -1}, {"instruction": "x", "seed": 2**63}],
)  # fmt: skip
def test_a_task_that_is_none_is_refused(console, body):
    assert console.order("/task", body, page=ONE).status == 400


def test_an_instruction_that_is_too_long_for_the_executor_is_refused_before_it(console):
    with page(console) as socket:
        state(socket)
        time.sleep(1.0)  # the requests before it count
        assert console.order("/charge", {"take": True}, page=ONE).status == 200
        for words, problem in (("ä" * 129, "258 bytes; expected at most 256"), ("  ", "its instruction is empty")):
            answer = console.order("/task", {"instruction": words}, page=ONE)
            assert answer.status == 400 and problem in answer.said["message"]


@pytest.mark.parametrize("word", ["no json", "[]", '{"kind":"mode"}', '{"kind":"hand","dead_man":true}', "x" * 3000])
def test_a_word_that_is_none_ends_the_connection(console, word):
    with page(console) as socket, pytest.raises(ConnectionClosed):
        socket.send(word)
        state(socket, lambda it: False)


def test_a_page_that_says_too_much_is_cut_off(console):
    with page(console) as socket, pytest.raises(ConnectionClosed):
        for _ in range(2000):
            socket.send('{"kind":"got","camera":0}')
        state(socket, lambda it: False)


def test_of_two_hundred_requests_at_once_most_are_refused_and_a_hold_among_them_is_not(console):
    time.sleep(2.0)  # the requests before it count
    with page(console) as socket:
        state(socket)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            flood = [pool.submit(console.order, "/ask", ORDERS["/ask"], ONE) for _ in range(200)]
            assert console.order("/hold").status == 200
            statuses = [it.result().status for it in flood]
        assert 20 <= statuses.count(200) <= 21 + 10 * (time.monotonic() - began) and set(statuses) <= {200, 429}
        with page(console, OTHER) as another:
            assert state(another, lambda it: it["mode"] == "HOLD"), "whoever orders too much still sees"
        assert state(socket, lambda it: it["mode"] == "HOLD")


def test_of_two_hundred_connections_at_once_those_above_the_rate_are_refused(console):
    def connects(_):
        with suppress(InvalidStatus), page(console):
            return True
        return False

    time.sleep(2.0)  # those before it count
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        passed = sum(pool.map(connects, range(200)))
    assert 20 <= passed <= 21 + 10 * (time.monotonic() - began)
    time.sleep(1.0)  # the next test connects again


def test_stops_of_a_flood_are_joined(console):
    with ThreadPoolExecutor(8) as pool:
        statuses = [it.result().status for it in [pool.submit(console.order, "/hold") for _ in range(40)]]
    assert set(statuses) == {200}


def test_the_page_may_load_nothing_from_elsewhere(console):
    headers = console.ask("GET", "/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_a_port_that_is_taken_is_named(console):
    result = CliRunner().invoke(cli.app, ["console", "--port", str(console.port)])
    assert result.exit_code == 1 and f"cannot listen to 127.0.0.1, port {console.port}" in result.output


def test_hands_steer_the_arms_while_the_switch_is_held_and_no_longer(console):
    with page(console) as socket:
        state(socket, lambda it: it["joints"])
        wait_for(lambda: console.order("/take_over", page=ONE).status == 200, "the take-over")
        before = state(socket, lambda it: it["steering"]["act"] == "ready")["joints"][0]

        told, is_held, until = state(socket), False, time.monotonic() + PATIENCE
        while (told["mode"], told["owner"]) != ("TELEOP", "console") or told["joints"][0] < before + 0.05:
            assert time.monotonic() < until, told["steering"]
            word = {"kind": "hand", "dead_man": is_held, "joint": 1.0, "joint_number": 0, "seen": told["at"]}
            socket.send(json.dumps(word))
            told = state(socket)
            # On a busy machine words come late, and the switch counts as released: then it is held anew.
            is_held = told["steering"]["act"] != "ready" or not is_held
        # Silence, as of a page that is hidden: the arms are held.
        told = state(socket, lambda it: it["mode"] == "HOLD")
        assert "let go" in told["why"] and told["steering"]["act"] == "ready"
        assert console.order("/policy", page=ONE).status == 200
        assert state(socket, lambda it: it["mode"] == "POLICY")["steering"]["act"] == "free"


def test_a_hand_takes_no_charge(console):
    with page(console, "3" * 32) as socket:
        at = state(socket, lambda it: it["charge"]["holder"] is None)["at"]
        for _ in range(3):
            socket.send(json.dumps({"kind": "hand", "dead_man": True, "joint": 1.0, "seen": at}))
            at = state(socket)["at"]
        assert state(socket)["charge"]["holder"] is None


def test_tokens_are_shown_once_and_never_again(guarded):
    """The last test: it ends the console."""
    guarded.order("/hold", token=guarded.tokens["operator"])
    said = guarded.end()
    assert "HOLD, by" in said and [said.count(token) for token in guarded.tokens.values()] == [1, 1]
