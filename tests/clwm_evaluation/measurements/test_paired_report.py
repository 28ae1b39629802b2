"""Rates and paired differences of modes, from made-up outcomes whose answer is known."""

import io
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clwm_common.terminal.console import PlainConsole
from clwm_evaluation.measurements.delay import by_delay, draw_delay, success_and_idle
from clwm_evaluation.measurements.paired_episodes import Job, Outcome, compare
from clwm_evaluation.measurements.success import draw_success, page_tables

MODES = ["sequential", "adaptive", "naive"]


def outcome(succeeds):
    return Outcome("success" if succeeds else "timeout", 4.0, 6, 1, 0.25, 4.0)


def outcomes_of(delays=(80.0,)):
    """20 seeds of each task; adaptive fails where seed % 10 == 0, naive at every odd seed, sequential at seed 1."""
    succeeds = {
        "sequential": lambda seed: seed != 1,
        "adaptive": lambda seed: seed % 10 != 0,
        "naive": lambda seed: seed % 2 == 0,
    }
    return {
        Job(seed, task, delay, mode): outcome(succeeds[mode](seed))
        for seed in range(20)
        for task in ("lift_tray", "place_block")
        for delay in delays
        for mode in MODES
    }


def test_pairs_are_of_the_same_seed_and_task():
    apart = compare(outcomes_of(), MODES)["all"]["differences"]["adaptive"]
    assert (apart["both"], apart["only_this"], apart["only_sequential"], apart["neither"]) == (34, 2, 4, 0)
    assert apart["difference"] == pytest.approx(-0.05)
    assert apart["difference95"][0] < -0.05 < apart["difference95"][1]
    assert apart["mcnemar_exact_p"] == pytest.approx(2 * (1 + 6 + 15) / 64)


def test_a_seed_that_one_mode_has_not_run_is_in_no_pair():
    outcomes = outcomes_of()
    del outcomes[Job(5, "lift_tray", 80.0, "naive")]
    found = compare(outcomes, MODES)
    assert found["all"]["differences"]["naive"]["pairs"] == 39
    assert found["all"]["modes"]["naive"]["episodes"] == 39
    assert found["place_block"]["differences"]["naive"]["pairs"] == 20


def test_without_the_baseline_there_are_rates_and_no_differences():
    found = compare(outcomes_of(), ["naive"])["all"]
    assert found["modes"]["naive"]["successes"] == 20 and found["differences"] == {}


def test_delays_are_told_apart_and_in_order():
    found = by_delay(outcomes_of((800.0, 0.0, 100.0)), MODES)
    assert list(found) == ["0", "100", "800"]
    assert all(column["all"]["modes"]["adaptive"]["episodes"] == 40 for column in found.values())


def test_reports_are_json_and_tables_and_pictures_show_every_mode():
    success = {"delay_ms": 80.0, "by_task": compare(outcomes_of(), MODES)}
    delay = {"delays": by_delay(outcomes_of((0.0, 800.0)), MODES)}
    json.dumps([success, delay], allow_nan=False)
    assert {row[1] for row in page_tables(success)[0].rows} == set(MODES)
    assert len(page_tables(success)[0].rows) == 3 * len(success["by_task"]) and success_and_idle(delay).row_count == 3
    for figure in (draw_success(success), draw_delay(delay)):
        figure.canvas.draw()
        assert np.asarray(figure.canvas.buffer_rgba()).std() > 10
        assert {text.get_text() for text in (figure.legends or [figure.axes[0].get_legend()])[0].get_texts()} == set(
            MODES
        )
        plt.close(figure)


def test_a_mode_that_never_succeeds_is_drawn_too():
    outcomes = {job: outcome(job.mode == "sequential") for job in outcomes_of((0.0, 800.0))}
    plt.close(draw_delay({"delays": by_delay(outcomes, MODES)}))
    assert compare(outcomes, MODES)["all"]["differences"]["naive"]["difference"] == -1.0


def test_a_mode_is_named_in_full_on_a_narrow_terminal():
    console = PlainConsole(width=80, file=io.StringIO())
    console.print(page_tables({"by_task": compare(outcomes_of(), MODES)})[0].table("success", left=2))
    assert all(mode in console.file.getvalue() for mode in MODES)
