import json
import math

import pytest

from clwm_common.messages import SaiReport
from clwm_common.ros.conversions import from_msg, to_msg
from clwm_sai_executor import events
from clwm_sai_executor.requests.metrics import Metrics, event_reactions, percentiles
from clwm_sai_executor.requests.timeline import ChunkRecord, Timeline


def record(chunk_id):
    return ChunkRecord(chunk_id, 1, 0.0, 0.0, 1.0, True, 1)


def test_percentiles_leave_out_what_was_not_measured():
    assert percentiles([math.nan, 1.0, 3.0])["p50"] == 2.0
    assert percentiles([math.nan]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_idle_fraction_is_time_without_rows():
    metrics = Metrics()
    metrics.elapse(0.0, 1.0, busy_from=0.5, busy_until=2.0)
    metrics.elapse(1.0, 3.0, busy_from=0.5, busy_until=2.0)
    assert metrics.summary()["idle_fraction"] == pytest.approx(0.5)


def test_report_that_comes_before_or_after_its_chunk_is_merged():
    timeline = Timeline()
    timeline.merge(SaiReport(1, 1, "sequential", finish_seconds=0.1))
    timeline.open(record(1))
    timeline.open(record(2))
    timeline.merge(SaiReport(2, 1, "fixed:0.5"))
    assert [item.report.policy for item in timeline.records()] == ["sequential", "fixed:0.5"]


def test_each_complete_record_is_told_once():
    timeline = Timeline()
    timeline.open(record(1))
    assert timeline.take_complete(0.1) == []
    timeline.get(1).outcome = "executed"
    assert timeline.take_complete(0.1) == []
    assert [item.chunk_id for item in timeline.take_complete(1.1)] == [1]
    assert timeline.take_complete(9.0) == []


def test_records_are_told_and_the_summary_is_json_without_nan(stack):
    stack.begin()
    stack.answer()
    stack.do(events.ReportArrived(SaiReport(1, 1, "sequential", finish_seconds=0.08)))
    json.dumps(stack.scheduler.metrics.summary(), allow_nan=False)
    first, second = (from_msg(to_msg(record)) for record in stack.scheduler.timeline.records())
    assert first.outcome == "executed" and first.report.finish_seconds == pytest.approx(0.08)
    assert second.outcome == "pending" and second.report is None and math.isnan(second.sent_at)


def test_blocking_time_is_split_as_the_policy_reports_it(stack):
    stack.begin()
    stack.answer(latency=0.2)
    report = SaiReport(1, 1, "sequential", encode_seconds=0.03, memory_seconds=0.01, context_seconds=0.01)
    stack.do(events.ReportArrived(report))
    split = stack.scheduler.metrics.summary()["blocking_split_ms"]
    assert split["encode"]["p50"] == pytest.approx(30.0)
    assert split["transport"]["p50"] == pytest.approx(150.0, abs=0.1)


def test_event_is_answered_at_the_latest_by_the_observation_after_it():
    records = [ChunkRecord(index, 1, 0.0, 0.6 * index, 0.0, at_rest=index == 0, prefix_rows=4) for index in range(3)]
    for record in records:
        record.observation_stamp, record.first_motion_at = record.observe_at, record.observe_at + 0.2
    reactions = event_reactions(records)
    assert len(reactions) == 16 and min(reactions) == pytest.approx(0.2) and 0.7 < max(reactions) < 0.8


def test_seam_without_a_change_of_acceleration_is_told_from_one_with(stack):
    stack.begin()
    stack.answer(speed=0.3)
    for _ in range(4):
        stack.answer(speed=0.3)
    even = stack.scheduler.metrics.summary()["seam_acceleration_jump"]["p50"]
    for speed in (0.5, 0.1, 0.5, 0.1, 0.5, 0.1):
        stack.answer(speed=speed)
    summary = stack.scheduler.metrics.summary()
    assert even < 0.5 < summary["seam_acceleration_jump"]["max"] <= 20.0
    record = stack.scheduler.timeline.records()[-2]
    assert record.seam_acceleration_jump > 0.5 and math.isfinite(record.inner_acceleration_jump)
