"""The URDF says what MuJoCo simulates and config/robots describes: kinematics, masses, limits, cameras, interfaces."""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from clwm_common.files.model_files import project_root
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.robot.joint_chain import JointChain, position_and_quaternion
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_description.bodies import body_of
from clwm_description.commands import app
from clwm_description.controllers import GAINS, controllers_yaml, names
from clwm_description.hardware import KINDS, HardwareError
from clwm_description.urdf import Choices, robot_urdf
from clwm_sim.scenes.workcell import SIDES, mesh_directory
from clwm_sim.world import World

ROBOT = "dual_fr3_ros2_control"
CHECKED_IN = project_root() / "src" / "clwm_description" / "robots"
JOINTS = np.random.default_rng(0).uniform(-0.4, 0.4, 14) + RobotDescription.load(ROBOT).home


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load(ROBOT)


@pytest.fixture(scope="module")
def world():
    world = World("lift_tray")
    world.put_arms(JOINTS, [0.05, 0.05])
    return world


@pytest.fixture(scope="module")
def path(robot, tmp_path_factory):
    path = tmp_path_factory.mktemp("urdf") / "robot.urdf"
    path.write_text(robot_urdf(robot))
    return path


@pytest.fixture(scope="module")
def urdf(path):
    return ElementTree.parse(path).getroot()


def frame(path: Path, link: str, joints: np.ndarray) -> np.ndarray:
    """Where a link is in the world (4, 4)."""
    chain = JointChain.from_urdf(path, link)
    constant, cosine, sine = chain.turning()
    result = np.eye(4)
    for index, angle in enumerate(joints[: len(chain)]):
        result = result @ (constant[index] + np.cos(angle) * cosine[index] + np.sin(angle) * sine[index])
    return result @ chain.end


def arm(side: str) -> np.ndarray:
    return JOINTS[7 * SIDES.index(side) :][:7]


@pytest.mark.parametrize("side", SIDES)
def test_the_tool_is_where_the_stack_reckons_it(robot, path, side):
    expected = DualArmKinematics(robot).poses(JOINTS)[SIDES.index(side)]
    found = position_and_quaternion(frame(path, f"{side}_fr3_hand_tcp", arm(side)))
    np.testing.assert_allclose(found[:3], expected[:3], atol=2e-6)
    assert abs(np.dot(found[3:], expected[3:])) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("camera", "side"), [("head", "left"), ("left_wrist", "left"), ("right_wrist", "right")])
def test_each_camera_looks_from_where_its_pictures_are_taken(world, path, camera, side):
    found = frame(path, f"{camera}_optical_frame", arm(side))
    np.testing.assert_allclose(found, world.camera_pose(camera), atol=5e-6)


@pytest.mark.parametrize("side", SIDES)
def test_every_link_weighs_what_is_simulated(world, urdf, side):
    model, _ = world.compiled
    for name in [*(f"fr3_link{number}" for number in range(1, 8)), "hand", "left_finger", "right_finger"]:
        body = body_of(model, f"{side}/{name}")
        link = urdf.find(f"link[@name='{side}_{name if name.startswith('fr3') else 'fr3_' + name}']")
        assert float(link.find("inertial/mass").get("value")) == pytest.approx(body.mass)
        centre = [float(it) for it in link.find("inertial/origin").get("xyz").split()]
        np.testing.assert_allclose(centre, body.centre, atol=1e-6)
        assert float(link.find("inertial/inertia").get("iyz")) == pytest.approx(body.inertia[1, 2], abs=1e-8)
        assert len(link.findall("collision")) == len(body.shapes)


def test_joints_have_the_names_and_limits_of_the_robots_file(robot, urdf):
    moving = {it.get("name"): it for it in urdf.findall("joint") if it.get("type") == "revolute"}
    assert list(moving) == robot.joint_names
    for name, lower, velocity in zip(
        robot.joint_names, robot.limit("position_lower"), robot.limit("velocity"), strict=True
    ):
        limit = moving[name].find("limit")
        assert float(limit.get("lower")) == pytest.approx(lower) and float(limit.get("velocity")) == velocity
        assert float(limit.get("effort")) == (87.0 if name[-1] in "1234" else 12.0)
    fingers = [it for it in urdf.findall("joint") if it.get("type") == "prismatic"]
    assert [it.get("name") for it in fingers[::2]] == [arm.gripper.finger_joint for arm in robot.arms]
    assert [it.find("mimic").get("joint") for it in fingers[1::2]] == [it.get("name") for it in fingers[::2]]
    assert {it.find("limit").get("upper") for it in fingers} == {"0.04"}


def test_links_form_one_tree_from_the_world(urdf):
    links = [it.get("name") for it in urdf.findall("link")]
    children = [it.find("child").get("link") for it in urdf.findall("joint")]
    assert len(set(links)) == len(links)
    assert sorted([*children, "world"]) == sorted(links)


def test_every_mesh_is_on_this_machine(robot):
    written = robot_urdf(robot, Choices(meshes=mesh_directory().as_uri()))
    meshes = [it.get("filename") for it in ElementTree.fromstring(written).iter("mesh")]
    assert meshes and all(Path(it.removeprefix("file://")).is_file() for it in meshes)


@pytest.mark.parametrize("hardware", KINDS)
def test_every_controller_finds_its_joints_and_interfaces_in_the_description(robot, hardware):
    kind = KINDS[hardware]
    root = ElementTree.fromstring(robot_urdf(robot, Choices(hardware)))
    offered = {
        joint.get("name"): {it.get("name") for it in joint.findall("command_interface")}
        for joint in root.iterfind("ros2_control/joint")
    }
    assert set(offered) <= {it.get("name") for it in root.findall("joint")}
    assert {it.text for it in root.iterfind("ros2_control/hardware/plugin")} == {kind.plugin}
    for interface in {"position", "effort"} & set(kind.commands):
        parameters = yaml.safe_load(controllers_yaml(robot, interface, kind))
        for name in names(kind.has_hands)[1:]:
            own = parameters[name]["ros__parameters"]
            if "arm" in name:
                assert own["command_interfaces"] == [interface]
                assert all(interface in offered[joint] for joint in own["joints"])
            else:
                assert "position" in offered[own["joint"]]
        assert {"joint_state_broadcaster", *names(kind.has_hands)} <= set(parameters)


def test_arms_start_at_home_with_open_hands(robot, urdf):
    starts = {
        joint.get("name"): float(joint.findtext("state_interface/param"))
        for joint in urdf.iterfind("ros2_control/joint")
    }
    assert [starts[name] for name in robot.joint_names] == pytest.approx(robot.home.tolist())
    assert starts[robot.left.gripper.finger_joint] == robot.left.gripper.opening_max / 2.0


def test_real_arms_are_told_apart_by_prefix_and_address(robot):
    root = ElementTree.fromstring(robot_urdf(robot, Choices("franka", ("10.0.0.1", "10.0.0.2"))))
    found = [
        {it.get("name"): it.text for it in each.findall("hardware/param")} for each in root.findall("ros2_control")
    ]
    assert [(it["prefix"], it["robot_ip"]) for it in found] == [("left_", "10.0.0.1"), ("right_", "10.0.0.2")]
    assert not [it for it in root.iterfind("ros2_control/joint") if "finger" in it.get("name")]


def test_torques_have_the_gains_of_the_arms_makers_and_a_late_cycle_is_not_made_up_for(robot):
    parameters = yaml.safe_load(controllers_yaml(robot, "effort", KINDS["gazebo"]))
    gains = parameters["right_arm_controller"]["ros__parameters"]["gains"]
    assert [(gains[name]["p"], gains[name]["d"]) for name in robot.right.joint_names] == list(GAINS)
    assert parameters["controller_manager"]["ros__parameters"]["overruns"]["manage"] is False
    assert "gains" not in controllers_yaml(robot, "position", KINDS["mock"])
    franka = yaml.safe_load((project_root() / "config" / "controllers" / "dual_fr3_franka.yaml").read_text())
    of_one_arm = franka["/**"]["arm_controller"]["ros__parameters"]["gains"].values()
    assert [(it["p"], it["d"]) for it in of_one_arm] == list(GAINS)


def test_gazebo_has_the_wrist_cameras_and_arms_that_bear_their_own_weight(robot):
    root = ElementTree.fromstring(robot_urdf(robot, Choices("gazebo", controllers="/x/controllers.yaml")))
    sensors = {it.get("name"): it for it in root.iterfind("gazebo/sensor")}
    assert set(sensors) == {"left_wrist", "right_wrist"}
    assert sensors["left_wrist"].findtext("topic") == "/cameras/left_wrist/image_raw"
    assert root.findtext("gazebo/plugin/parameters") == "/x/controllers.yaml"
    weightless = {it.get("reference") for it in root.findall("gazebo") if it.findtext("gravity") == "false"}
    assert {f"{side}_fr3_link{number}" for side in SIDES for number in range(8)} <= weightless


def test_a_base_that_leans_is_placed_as_it_leans(robot, tmp_path):
    leaning = robot.model_copy(update={"left": robot.left.model_copy(update={"base_roll": 0.3, "base_pitch": -0.2})})
    path = tmp_path / "leaning.urdf"
    path.write_text(robot_urdf(leaning))
    np.testing.assert_allclose(frame(path, "left_fr3_link0", JOINTS), leaning.left.base, atol=1e-6)


def test_unknown_hardware_is_refused_with_what_there_is(robot):
    with pytest.raises(HardwareError, match="hardware 'lego' is not known; expected one of mock, topic_based, franka"):
        robot_urdf(robot, Choices("lego"))


def test_what_is_checked_in_is_what_the_command_writes(tmp_path):
    done = CliRunner().invoke(app, ["robot", "--portable", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    written = {it.name: it.read_text() for it in tmp_path.iterdir()}
    kept = {it.name: it.read_text() for it in CHECKED_IN.iterdir()}
    assert set(written) == set(kept)
    stale = [name for name in kept if kept[name] != written[name]]
    assert not stale, f"write {CHECKED_IN} anew: ./clwm describe robot --portable --out {CHECKED_IN}"


@pytest.mark.skipif(shutil.which("ign") is None, reason="needs `ign sdf` of ignition-tools and libsdformat-dev")
@pytest.mark.parametrize("hardware", KINDS)
def test_the_real_parser_takes_the_urdf_without_a_warning(robot, tmp_path, hardware):
    path = tmp_path / "robot.urdf"
    path.write_text(robot_urdf(robot, Choices(hardware, meshes=mesh_directory().as_uri())))
    done = subprocess.run(["ign", "sdf", "-p", str(path)], capture_output=True, text=True, timeout=100)
    complaints = [it for it in done.stderr.splitlines() if "libignition-tools-backward" not in it]
    assert complaints == [] and done.returncode == 0
    model = ElementTree.fromstring(done.stdout[done.stdout.index("<sdf") :]).find("model")
    kept = {it.get("name") for it in model.findall("joint")}
    assert {*RobotDescription.load(ROBOT).joint_names, "left_fr3_finger_joint1", "right_fr3_finger_joint2"} <= kept


def test_arms_that_have_a_urdf_of_their_own_are_not_written_as_fr3():
    with pytest.raises(
        RobotError, match="'dual_aloha' has other arms than two FR3, and a URDF already: use .*vx300s.urdf"
    ):
        robot_urdf(RobotDescription.load("dual_aloha"))
