"""The layout names topics that are served, and fields that their messages have."""

import json
import re

import pytest
from typer.testing import CliRunner

pytest.importorskip("foxglove", reason="needs the group 'foxglove'")

from clwm_bringup.cli import app
from clwm_common.files.model_files import project_root
from clwm_common.robot.description import RobotDescription
from clwm_operator.foxglove.foxglove_node import served_topics
from clwm_operator.foxglove.layout import layout_of
from clwm_operator.foxglove.topics import DESCRIPTION, TIMELINE, TIMELINE_FIELDS

SHIPPED = project_root() / "config" / "foxglove" / "clwm.json"
ROBOT = RobotDescription.load("dual_fr3_mujoco")


def found_in(value):
    """All (name, text) in a nested document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from [(name, inner)] if isinstance(inner, str) else found_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from found_in(inner)


def test_the_shipped_layout_is_the_one_that_is_made():
    assert SHIPPED.read_text() == layout_of(ROBOT), "write it anew: clwm foxglove --layout config/foxglove/clwm.json"


@pytest.mark.parametrize("name", ["dual_fr3_mujoco", "dual_fr3_libfranka", "dual_aloha"])
def test_every_topic_of_the_layout_is_served(name):
    robot = RobotDescription.load(name)
    texts = list(found_in(json.loads(layout_of(robot))))
    topics = {text for field, text in texts if re.search("topic", field, re.IGNORECASE) and text.startswith("/")}
    served = {*served_topics(robot), DESCRIPTION, TIMELINE}
    assert topics and topics <= served
    assert {robot.camera_source(camera).info_topic for camera in robot.cameras} <= topics


def test_every_plotted_field_is_one_of_its_message():
    given = served_topics(ROBOT)
    paths = [text for field, text in found_in(json.loads(SHIPPED.read_text())) if field == "value"]
    assert len(paths) > 15
    for path in paths:
        topic, _, field = path.rpartition(".")
        if topic == TIMELINE:
            assert field in TIMELINE_FIELDS, path
            continue
        name, _, index = field.partition("[")
        message = given[topic][0]()
        assert name in message.get_fields_and_field_types(), path
        assert not index or int(index.rstrip("]")) < len(getattr(message, name)), path


def test_the_joints_that_are_plotted_are_those_of_the_robot():
    aloha = RobotDescription.load("dual_aloha")
    series = [it for it in found_in(json.loads(layout_of(aloha))) if it[0] == "value" and "/clwm/state" in it[1]]
    assert len(series) == 12


def test_a_layout_can_be_written_for_another_robot(tmp_path):
    done = CliRunner().invoke(app, ["foxglove", "--robot", "dual_aloha", "--layout", str(tmp_path / "aloha.json")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "aloha.json").read_text() == layout_of(RobotDescription.load("dual_aloha"))
