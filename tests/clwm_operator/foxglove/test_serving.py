"""A client of Foxglove's protocol beside the stack: it sees everything, and can do nothing."""

import json
import os
import struct

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String

from clwm_common.messages import TeleopCommand
from clwm_common.robot.description import RobotDescription
from clwm_common.ros.conversions import to_msg
from clwm_description.urdf import MESH_PACKAGE
from clwm_msgs import msg
from clwm_sim.scenes.workcell import mesh_directory

from ..conftest import PATIENCE

ROBOT = RobotDescription.load("dual_fr3_mujoco")
PICTURES = [f"/cameras/{name}/image_raw/compressed" for name in ROBOT.cameras]
SPOKEN = [  # what the stand-in stack says
    *PICTURES, "/cameras/head/camera_info", "/joint_states", "/clwm/state", "/clwm/mode", "/clwm/task_status",
    "/clwm/chunk_timeline", "/clwm/action_chunk", "/clwm/sai_timeline", "/clwm/claims", "/diagnostics", "/rosout",
    "/tf", "/robot_description",
]  # fmt: skip


def hear(client, is_enough, what):
    found = client.hear(is_enough, PATIENCE)
    assert found, f"waited in vain for {what}; told {client.told[-3:]}"
    return found


def test_a_client_gets_pictures_model_transforms_joints_timeline_and_log(client):
    client.subscribe(*SPOKEN)
    hear(client, lambda: {it[0] for it in client.messages} >= set(SPOKEN), "a message of each topic")
    for topic in PICTURES:
        picture = deserialize_message(client.newest(topic)[2], CompressedImage)
        assert cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR).shape == (64, 64, 3)
    joints = deserialize_message(client.newest("/joint_states")[2], JointState)
    assert set(ROBOT.joint_names) <= set(joints.name) and joints.position[3] < 0.0
    assert deserialize_message(client.newest("/clwm/mode")[2], msg.ModeStatus).mode <= 3
    timeline = json.loads(client.newest("/clwm/sai_timeline")[2])
    assert timeline["outcome"] == "executed" and timeline["blocking_ms"] == pytest.approx(100.0, abs=0.1)
    assert timeline["speculation_ms"] == pytest.approx(500.0, abs=0.1)
    for topic in ("/joint_states", "/clwm/mode"):
        assert client.channels[topic]["schemaEncoding"] == "ros2msg" and client.channels[topic]["encoding"] == "cdr"
    assert client.channels["/tf"]["schemaName"] == "foxglove.FrameTransforms"
    for link in (b"left_fr3_hand_tcp", b"right_fr3_link7", b"head_optical_frame", b"left_wrist_optical_frame"):
        assert link in client.newest("/tf")[2]


def test_who_comes_late_is_told_the_mode_and_the_model_too(client, another_client):
    for one in (client, another_client):
        one.subscribe("/clwm/mode", "/robot_description")
        hear(one, lambda one=one: one.newest("/clwm/mode") and one.newest("/robot_description"), "mode and model")


def test_the_meshes_of_the_model_can_be_had_and_no_other_file(client):
    client.subscribe("/robot_description")
    urdf = deserialize_message(hear(client, lambda: client.newest("/robot_description"), "the model")[2], String).data
    uri = urdf.partition('filename="')[2].partition('"')[0]
    other = (
        f"{MESH_PACKAGE}/{os.path.relpath(os.path.realpath(__file__), os.path.realpath(mesh_directory()))}"  # it exists
    )
    for request, asked in enumerate([uri, other, "file:///etc/passwd", ""], 1):
        client.say({"op": "fetchAsset", "uri": asked, "requestId": request})
    hear(client, lambda: len(client.assets) == 4, "the answers")
    assert client.assets[1][0] == 0 and len(client.assets[1][1]) > 1000
    assert [client.assets[request][:2] for request in (2, 3, 4)] == [(1, b"")] * 3


def test_nothing_that_a_client_publishes_calls_or_sets_reaches_the_stack(client):
    (info,) = [it for it in client.told if it["op"] == "serverInfo"]
    assert info["capabilities"] == ["assets"]
    client.subscribe("/clwm/mode", "/clwm/teleop", "/joint_states")
    hear(client, lambda: client.newest("/clwm/mode"), "the mode")
    before = hear(client, lambda: client.newest("/joint_states"), "joints")[2]
    command = TeleopCommand(0.0, "intruder", True, np.ones(30, np.float32), np.ones(30, np.bool_))
    schema = {"schemaName": "clwm_msgs/msg/TeleopCommand", "encoding": "cdr"}
    client.say({"op": "advertise", "channels": [{"id": 1, "topic": "/clwm/teleop", **schema}]})
    for _ in range(20):
        client.send(struct.pack("<BI", 1, 1) + serialize_message(to_msg(command)))
    client.send(struct.pack("<BIII", 2, 1, 1, 3) + b"cdr" + bytes(8))
    client.say({"op": "setParameters", "parameters": [{"name": "rate", "value": 1}], "id": "1"})
    for word in ("clientPublish", "services", "parameters"):
        hear(
            client,
            lambda word=word: any(f"not support {word}" in it.get("message", "") for it in client.told),
            f"the refusal of {word}",
        )

    seen = len(client.messages)
    hear(client, lambda: len(client.messages) > seen + 20, "joints")
    after = deserialize_message(client.newest("/joint_states")[2], JointState).position
    assert after == deserialize_message(before, JointState).position
    assert client.newest("/clwm/teleop") is None


def test_what_nobody_looks_at_is_not_subscribed_to(client, another_client):
    client.subscribe(PICTURES[0])
    another_client.subscribe(PICTURES[0])
    hear(client, lambda: client.newest(PICTURES[0]), "a picture")
    another_client.unsubscribe(PICTURES[0])
    seen = len(client.messages)
    hear(client, lambda: len(client.messages) > seen + 2, "pictures for who stayed")
    client.unsubscribe(PICTURES[0])
    client.subscribe("/joint_states")
    hear(client, lambda: client.newest("/joint_states"), "joints")
