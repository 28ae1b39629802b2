"""The cameras that are compared send what perception reads, and the report puts each beside today's."""

import pytest

from clwm_common.robot.camera_source import CameraSource
from clwm_evaluation.process_cost.camera_kinds import KINDS
from clwm_evaluation.process_cost.cameras import GOAL, page_tables, summarise
from clwm_perception.camera_reader import CameraReader


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_perception_reads_every_kind_of_camera_that_is_compared(kind):
    transport = "compressed" if kind.is_compressed else "raw"
    source = CameraSource(transport=transport, crop="centre", resize="scale").named("head")
    picture = CameraReader("head", source, (128, 128), 16_000_000).read(kind.message())
    assert picture.size == (kind.height, kind.width) and picture.pixels().std() > 20.0


def test_a_kind_is_judged_by_what_it_costs_more_than_the_first():
    report = summarise(
        {"today": [0.1, 0.2], "png": [0.15 + GOAL, 0.17 + GOAL]}, {"today": [], "png": [0.02, 0.03, 0.04]}
    )
    assert report["kinds"]["png"]["more_than_today"] == pytest.approx(GOAL + 0.01)
    assert report["kinds"]["today"]["meets_goal"] and not report["kinds"]["png"]["meets_goal"]
    assert page_tables(report)[0].rows[1][:3] == ["png", "26.0%", "+11.0%"]
    assert [row[4] for row in page_tables(report)[0].rows] == ["-", "30.0"]
