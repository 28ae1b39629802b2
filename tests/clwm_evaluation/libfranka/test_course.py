"""What episodes through libfranka come to, beside the same ones without it."""

import json
from dataclasses import asdict

from clwm_evaluation.libfranka.command import page_tables
from clwm_evaluation.libfranka.course import Played, cycles_of, noted, summary

PLAYED = [
    Played("lift_tray", 1, "success", 3.5, 7.0, 7000, 0),
    Played("place_block", 1, "success", 4.5, 6.0, 9000, 16),
    Played("lift_tray", 2, "timeout", 12.0, 27.0, 24000, 0),
]
DIRECT = {("lift_tray", 1): True, ("lift_tray", 2): True, ("place_block", 1): False}


def test_both_sides_are_compared_seed_by_seed_and_cycles_are_shares_of_both_arms():
    report = summary(PLAYED, DIRECT)
    both = report["by_task"]["all"]
    assert both["libfranka"]["successes"] == 2 and both["direct"]["successes"] == 2 and both["episodes"] == 3
    assert report["by_task"]["lift_tray"]["difference"]["difference"] == -0.5
    assert report["missed_share"] == 16 / 40_000
    assert report["real_time_factor"] == 0.5 and report["real_time_factor_highest"] == 0.75


def test_the_page_has_a_row_for_each_task_and_the_cycles_with_and_without_waiting():
    report = summary(PLAYED, DIRECT) | {"unwaited": {"successes": 1, **cycles_of(PLAYED[1:2])}}
    success, cycles = page_tables(report)
    assert [row[0] for row in success.rows] == ["lift_tray", "place_block", "all"]
    assert cycles.rows == [
        ["is waited for", "2 / 3", "40,000", "16 (0.040%)", "0.50", "0.75"],
        ["is not", "1 / 1", "9,000", "16 (0.178%)", "0.75", "0.75"],
    ]


def test_without_a_control_the_page_has_none():
    report = summary(PLAYED, DIRECT) | {"unwaited": {"successes": 0, **cycles_of([])}}
    assert [row[0] for row in page_tables(report)[1].rows] == ["is waited for"]


def test_a_note_that_was_cut_short_is_not_an_episode(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    assert noted(ledger) == []
    ledger.write_text("".join(json.dumps(asdict(it)) + "\n" for it in PLAYED) + '{"task": "lift')
    assert noted(ledger) == PLAYED
