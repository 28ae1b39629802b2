"""What is counted of modes that take turns, on made-up chunks whose answer is known."""

import dataclasses
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clwm_evaluation.measurements.latency import SPLIT, WARM_UP, Turn, as_table, draw_latency, measure, split
from clwm_operator.recording import Chunk, Episode

STAGES = {"encode": 0.02, "memory": 0.005, "context": 0.01, "finish": 0.04}


def chunk(number, blocking=0.1, *, at_rest=False, stall=0.0, outcome="executed", policy="sequential", s=0.0, nfe=20):
    observed = 10.0 + 0.6 * number
    return Chunk(
        chunk_id=number, outcome=outcome, requested_at=observed - 0.6, observe_at=observed, needed_by=observed + 0.2,
        at_rest=at_rest, sent_at=observed + blocking, first_motion_at=observed + 0.2, rows_end_at=observed + 0.8,
        observation_stamp=observed, stall=stall, speculation=None, frame_arrived_at=observed + 0.03,
        finished_at=observed + blocking - 0.003, stages=STAGES, surrogate_error=0.4, copy_error=0.5, policy=policy,
        re_entry_video_s=float(s > 0.0), re_entry_s=s, nfe_blocking=nfe, nfe_total=2 * nfe,
    )  # fmt: skip


def turn(mode, blocking, stalls=0, seed=1, count=12):
    chunks = [
        chunk(i, blocking + 0.001 * i, at_rest=i == 0, stall=0.1 * (2 <= i < 2 + stalls), policy=mode)
        for i in range(count)
    ]
    return Turn(mode, [Episode("lift_tray", seed, "lift", 9.0, 30.0, "success", 21.0)], chunks)


@pytest.fixture
def turns():
    return [turn("sequential", 0.2, stalls=3), turn("adaptive", 0.05), turn("sequential", 0.2), turn("adaptive", 0.05)]


def test_the_warm_up_of_every_turn_is_not_measured(turns):
    assert measure(turns)["modes"]["adaptive"]["chunks"] == 2 * (12 - WARM_UP)
    slow_start = turn("adaptive", 0.05)
    slow_start.chunks[0] = dataclasses.replace(slow_start.chunks[0], sent_at=slow_start.chunks[0].sent_at + 9.0)
    assert measure([slow_start])["modes"]["adaptive"]["blocking_ms"]["max"] < 100.0


def test_the_parts_of_a_chunk_add_up_to_its_blocking_time():
    made = chunk(1, 0.137)
    parts = split(made)
    assert set(parts) == set(SPLIT) and sum(parts.values()) == pytest.approx(made.blocking)


def test_a_ratio_is_of_the_medians_and_its_interval_holds_it(turns):
    ratio = measure(turns)["ratios"]["adaptive"]["blocking_p50"]
    assert ratio["ratio"] == pytest.approx((0.05 + 0.0065) / (0.2 + 0.0065), abs=1e-3)
    assert ratio["low95"] <= ratio["ratio"] <= ratio["high95"]


def test_the_engine_alone_is_what_is_left_without_pictures_encoding_and_messages(turns):
    halved = [dataclasses.replace(c, stages={**STAGES, "finish": 0.0125}) for c in turns[1].chunks]
    report = measure([turns[0], dataclasses.replace(turns[1], chunks=halved)])
    assert report["modes"]["sequential"]["engine_ms"]["p50"] == pytest.approx(55.0)
    assert report["ratios"]["adaptive"]["engine_p50"]["ratio"] == pytest.approx(0.5)


def test_without_a_baseline_there_are_no_ratios():
    assert measure([turn("adaptive", 0.05)])["ratios"] == {}


def test_only_chunks_asked_for_while_the_arms_move_are_boundaries(turns):
    turns[0].chunks[5] = dataclasses.replace(turns[0].chunks[5], at_rest=True, stall=0.0)
    found = measure(turns)["modes"]["sequential"]
    assert (found["boundaries"], found["from_rest"], found["stalls"]) == (19, 1, 3)
    assert found["stall_share"] == pytest.approx(3 / 19, abs=1e-4)
    assert found["stall_share_wilson95"][0] < found["stall_share"] < found["stall_share_wilson95"][1]


def test_chunks_that_never_moved_the_arms_are_counted_apart(turns):
    turns[1].chunks[7] = dataclasses.replace(turns[1].chunks[7], outcome="dropped", sent_at=None)
    found = measure(turns)["modes"]["adaptive"]
    assert found["not_executed"] == {"dropped": 1} and found["chunks"] == 19


def test_re_entry_points_and_evaluations_are_counted():
    made = Turn(
        "adaptive", turn("adaptive", 0.1).episodes, [chunk(i, s=s, nfe=2) for i, s in enumerate([1, 1, 1, 0.75, 0])]
    )
    found = measure([made])["modes"]["adaptive"]
    assert found["re_entry"] == {"0.75": 1, "1": 1, "start": 1}
    assert found["nfe_blocking"] == {"mean": 2.0, "p50": 2.0} and found["nfe_total_mean"] == 4.0


def test_a_mode_that_executed_nothing_has_a_report_without_nan():
    report = measure([Turn("sequential", turn("sequential", 0.1).episodes, []), turn("adaptive", 0.1)])
    json.dumps(report, allow_nan=False)
    assert report["modes"]["sequential"]["blocking_ms"]["p50"] is None
    assert report["ratios"]["adaptive"]["blocking_p50"] is None


def test_table_and_picture_show_every_mode(turns):
    report = measure(turns)
    assert [column.header.partition("\n")[0] for column in as_table(report).columns[1:]] == ["sequential", "adaptive"]
    figure = draw_latency(turns, report, 0.2)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())
    assert drawn.std() > 10
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["sequential", "adaptive"]
    plt.close(figure)
