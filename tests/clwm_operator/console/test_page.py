"""The page in a browser: what an operator sees, and what happens when he presses something."""

import pytest

from .seat import HEIGHT, PATIENCE, Seat, needs_browser, running_browser

pytestmark = needs_browser
PAD = """
window.pad = null;
navigator.getGamepads = () => [window.pad, null, null, null];
window.press = (switched, up) => {
  const buttons = Array.from({ length: 17 }, (_, index) => ({ pressed: index === 4 && switched, value: 0 }));
  window.pad = { id: "pad of a test", index: 0, connected: true, buttons, axes: [0, 0, 0, -up] };
};
"""


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture
def seat(browser, console):
    seat = Seat(browser, console, script=PAD).open()
    yield seat
    if not seat.page.is_closed():
        seat.page.click("#hold")
        seat.mode("HOLD")
        if seat.page.is_visible("#give_charge"):
            seat.page.click("#give_charge")
            seat.wait("document.body.dataset.charge === 'nobody'")
        seat.close()


def to_policy(seat):
    seat.page.click("#hand_back")
    seat.mode("POLICY")


def test_pictures_move_and_the_mode_is_explained(seat):
    before = {name: seat.page.get_attribute(f"[data-camera={name}]", "data-shown") for name in ("head", "left_wrist")}
    for name, shown in before.items():
        seat.wait(f"document.querySelector('[data-camera={name}]').dataset.shown > {int(shown or 0) + 3}")
    to_policy(seat)
    seat.wait("document.querySelector('#why').textContent !== ''")
    seat.wait("document.querySelector('#facts').innerText.includes('0123456789abcdef')")
    seat.wait("document.querySelector('#latency_now').textContent.includes('median 100 ms')")


def test_a_task_is_given_by_a_sentence_and_by_a_goal_of_the_catalogue(seat):
    seat.page.fill("#sentence", "dance")
    seat.page.click("#give")
    seat.wait("document.querySelector('#instruction').textContent === '“dance”'")
    seat.wait("document.querySelector('#answer').textContent.includes('not trained with this sentence, but takes it')")
    seat.page.click("text=put the block on the pad")
    seat.wait("document.querySelector('#instruction').textContent === '“put the block on the pad”'")
    seat.wait("document.querySelector('#history').innerText.includes('put the block on the pad')")


def test_a_button_and_a_key_end_the_task_and_a_letter_in_a_sentence_does_not(seat):
    seat.page.fill("#sentence", "wave")
    seat.page.click("#give")
    seat.wait("document.querySelector('#instruction').textContent === '“wave”'")
    seat.page.focus("#sentence")
    seat.page.keyboard.press("-")
    seat.page.click("#done")
    seat.wait("document.querySelector('#verdict').textContent.startsWith('succeeded, says operator')")
    seat.wait("document.querySelector('#instruction').textContent === 'no task'")
    seat.page.click("#give")
    seat.wait("document.querySelector('#instruction').textContent === '“wave-”'")
    seat.page.evaluate("document.activeElement.blur()")
    seat.page.keyboard.press("-")
    seat.wait("document.querySelector('#verdict').textContent.startsWith('failed, says operator')")


def test_escape_holds_also_while_somebody_types_and_twice_is_an_emergency_stop(seat):
    to_policy(seat)
    seat.page.focus("#sentence")
    seat.page.keyboard.press("Escape")
    seat.mode("HOLD")
    seat.page.wait_for_timeout(1100)
    seat.page.keyboard.press("Escape")
    seat.page.keyboard.press("Escape")
    seat.mode("ESTOP")
    assert "latched" in seat.text("#remedy")


def test_with_the_live_connection_blocked_the_page_says_that_it_is_old_and_hold_works(browser, console, seat):
    blocked = []
    other = Seat(browser, console)

    def route(socket):
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(lambda message: blocked or socket.send(message))

    other.page.route_web_socket("**/live", route)
    other.open()
    to_policy(seat)
    other.mode("POLICY")
    blocked.append(True)
    other.page.wait_for_selector("#old", state="visible", timeout=PATIENCE)
    assert "still work" in other.text("#old")
    for width in (400, 1400):
        other.page.set_viewport_size({"width": width, "height": 900})
        # The bar's first line is what one sees at its place.
        place = "const box = old.getBoundingClientRect(); return document.elementFromPoint(box.x + 20, box.y + 3).id"
        assert other.page.evaluate(f"(() => {{ {place} }})()") == "old"
    other.page.click("#hold")
    seat.mode("HOLD")
    assert other.text("#mode") == "POLICY"  # what it shows is old, and it says so
    assert other.page.is_visible("#old")
    other.close()


def test_pictures_that_do_not_arrive_are_marked_as_old_though_the_states_do(browser, console):
    other, are_lost = Seat(browser, console), []

    def route(socket):
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(lambda message: (are_lost and type(message) is bytes) or socket.send(message))

    other.page.route_web_socket("**/live", route)
    other.open()
    head = "document.querySelector('[data-camera=head]')"
    other.wait(f"{head}.dataset.shown > 2 && !{head}.classList.contains('stale')")
    are_lost.append(True)
    other.wait(f"{head}.classList.contains('stale') && {head}.innerText.includes('s old')")
    assert other.page.is_hidden("#old")
    other.close()


def test_keys_move_a_tool_by_five_centimetres_and_the_arms_are_handed_back(seat):
    seat.take_over()
    before = seat.tool()
    seat.press("r", f"{HEIGHT} > {before + 0.05}")
    seat.page.keyboard.up("r")
    seat.wait("document.querySelector('#why').textContent.includes('let go')")
    seat.mode("HOLD")
    to_policy(seat)
    assert seat.page.is_hidden("#jog")


def test_a_correction_is_labelled_by_one_key_but_not_while_somebody_types_nor_while_nothing_is_recorded(seat):
    seat.page.fill("#sentence", "")
    seat.page.type("#sentence", "xvz")
    assert seat.page.input_value("#sentence") == "xvz" and seat.text("#correction") == ""
    seat.page.evaluate("document.activeElement.blur()")
    seat.page.keyboard.press("x")
    seat.wait("document.querySelector('#correction').textContent.includes('nothing is recorded; start clwm record')")
    seat.wait("document.querySelector('#history').innerText.includes('last correction: DISCARDED')")


def test_a_memory_is_saved_and_restored_by_its_name(seat):
    seat.page.fill("#memory_name", "tuesday")
    seat.page.click("#restore_memory")
    seat.wait("document.querySelector('#memory_said').textContent === \"no memory 'tuesday' was saved\"")
    seat.page.click("#save_memory")
    seat.wait("document.querySelector('#memory_names option')?.value === 'tuesday'")
    seat.page.click("#restore_memory")
    seat.wait("document.querySelector('#memory_said').textContent === \"memory 'tuesday'\"")
    seat.wait("document.querySelector('#history').innerText.includes(\"restore memory 'tuesday'\")")


def test_a_button_moves_the_arms_while_it_is_pressed(seat):
    seat.take_over()
    button = seat.page.locator("#pad button", has_text="forward")
    button.scroll_into_view_if_needed()
    button.hover()
    seat.steer(seat.page.mouse.down, seat.page.mouse.up)
    seat.page.mouse.up()
    seat.mode("HOLD")


@pytest.mark.parametrize("event", ["blur", "pagehide"])
def test_a_page_that_is_left_lets_go_though_the_key_is_still_pressed(seat, event):
    seat.take_over()
    seat.press()
    seat.page.evaluate(f"window.dispatchEvent(new Event('{event}'))")
    seat.mode("HOLD")
    seat.page.keyboard.up("r")


def test_a_gamepad_moves_the_arms_and_one_that_goes_lets_go(seat):
    seat.take_over()
    before = seat.tool()
    evaluate = seat.page.evaluate
    seat.steer(lambda: evaluate("press(true, 1)"), lambda: evaluate("press(false, 1)"), f"{HEIGHT} > {before + 0.02}")
    seat.page.evaluate("window.pad = null")
    seat.mode("HOLD")
    seat.page.evaluate("press(false, 1)")  # a stick without the switch
    seat.page.wait_for_timeout(500)
    assert seat.text("#mode") == "HOLD"


def test_a_second_operator_takes_over_and_both_pages_say_so(browser, console, seat):
    other = Seat(browser, console).open()
    seat.page.click("#take_charge")
    seat.wait("document.body.dataset.charge === 'mine'")
    other.wait("document.body.dataset.charge === 'other'")
    other.page.click("#hand_back")
    other.wait("document.querySelector('#answer').textContent.includes('is in charge; take over first')")
    other.page.click("#take_charge")
    seat.wait("document.body.dataset.charge === 'other'")
    assert "has taken over from" in seat.text("#charge")
    other.page.click("#give_charge")
    other.wait("document.body.dataset.charge === 'nobody'")
    other.close()


def test_a_token_is_asked_for_and_a_viewer_sees_but_has_nothing_to_press(browser, guarded):
    viewer = Seat(browser, guarded, script=PAD)
    viewer.page.goto(viewer.url)
    viewer.page.fill("#token", "a wrong token")
    viewer.page.click("#log_in")
    viewer.wait("document.querySelector('#login_problem').textContent.includes('no token')")
    viewer.page.fill("#token", guarded.tokens["viewer"])
    viewer.page.click("#log_in")
    viewer.wait("document.querySelector('[data-camera=head]')?.dataset.shown > 2")
    assert guarded.tokens["viewer"] not in viewer.page.url
    assert all(
        viewer.page.locator(f"#{name}").is_disabled() for name in ("hold", "estop", "take_over", "hand_back", "give")
    )
    viewer.close()


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_hangs_over_the_edge_and_the_stops_are_in_reach_wherever_one_has_scrolled(browser, console, width):
    seat = Seat(browser, console, width).open()
    assert seat.page.evaluate("document.documentElement.scrollWidth") <= width
    for where in (0, 100_000):
        seat.page.evaluate(f"window.scrollTo(0, {where})")
        for stop in ("#hold", "#estop"):
            box = seat.page.locator(stop).bounding_box()
            assert (
                box["x"] >= 0 and box["x"] + box["width"] <= width and 0 <= box["y"] and box["y"] + box["height"] <= 900
            )
    seat.close()
