"""The view for RViz shows topics and frames that there are, asked for as they are offered."""

from xml.etree import ElementTree

import pytest
import yaml

from clwm_bringup.security.access_rights import access_table
from clwm_common.files.model_files import project_root
from clwm_common.robot.description import RobotDescription
from clwm_description.publish_node import TOPIC
from clwm_description.urdf import Choices, robot_urdf

ROBOT = RobotDescription.load("dual_fr3_mujoco")
VIEW = yaml.safe_load((project_root() / "config" / "rviz" / "clwm.rviz").read_text())["Visualization Manager"]


def displays(kind):
    return [it for it in VIEW["Displays"] if it["Class"] == f"rviz_default_plugins/{kind}"]


def test_every_camera_is_shown_from_the_topic_that_the_simulation_publishes():
    # What the table grants is what the nodes open: test_security.py.
    published = next(row for row in access_table(ROBOT) if row.node == "sim").publishes
    shown = [it["Topic"] for it in displays("Image")]
    assert [it["Value"] for it in shown] == [ROBOT.camera_source(name).topic for name in ROBOT.cameras]
    assert {it["Value"] for it in shown} <= set(published)
    # Cameras publish best effort: whoever asks for reliable pictures gets none.
    assert {it["Reliability Policy"] for it in shown} == {"Best Effort"}


def test_the_model_is_taken_from_the_latched_description():
    (model,) = displays("RobotModel")
    assert model["Description Topic"]["Value"] == TOPIC and model["Description Source"] == "Topic"
    assert model["Description Topic"]["Durability Policy"] == "Transient Local"


def test_every_frame_is_a_link_of_the_model():
    links = {it.get("name") for it in ElementTree.fromstring(robot_urdf(ROBOT, Choices(hardware=""))).iter("link")}
    (frames,) = displays("TF")
    named = {name for name in frames["Frames"] if name != "All Enabled"}
    assert named | {VIEW["Global Options"]["Fixed Frame"], displays("Grid")[0]["Reference Frame"]} <= links
    assert {f"{name}_optical_frame" for name in ROBOT.cameras} <= named


@pytest.mark.parametrize("word", ["Goal", "Pose", "Publish"])
def test_no_tool_publishes_anything(word):
    assert not [tool for tool in VIEW["Tools"] if word in tool["Class"]]
