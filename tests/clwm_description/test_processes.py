"""What the launch files start for each kind of hardware, and what Gazebo's bridge carries."""

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from clwm_common.files.model_files import project_root
from clwm_common.robot.description import RobotDescription
from clwm_description.hardware import HardwareError
from clwm_description.processes import WORLD, ControlOptions, control_processes, gazebo_processes, state_publisher
from clwm_description.sdf import scene_sdf
from clwm_sim.world import World

ROBOT = RobotDescription.load("dual_fr3_ros2_control")
SPAWNED = ["joint_state_broadcaster", *(f"{side}_arm_controller" for side in ("left", "right"))]
HANDS = ["left_gripper_controller", "right_gripper_controller"]


def started(tmp_path, hardware, **options):
    return {it.name: it for it in control_processes(ControlOptions(ROBOT, tmp_path, hardware, **options))}


@pytest.mark.parametrize("hardware", ["mock", "topic_based"])
def test_a_controller_manager_gets_a_spawner_for_each_of_its_controllers(tmp_path, hardware):
    found = started(tmp_path, hardware)
    spawned = [it.arguments[0] for it in found.values() if it.executable == "spawner"]
    assert spawned == SPAWNED + HANDS
    parameters = yaml.safe_load((tmp_path / "controllers.yaml").read_text())
    assert set(spawned) <= set(parameters) and found["controller_manager"].parameters[0] == str(
        tmp_path / "controllers.yaml"
    )
    (description, _) = found["robot_state_publisher"].parameters
    assert ElementTree.fromstring(description["robot_description"]).get("name") == ROBOT.name


@pytest.mark.parametrize(("hardware", "rate"), [("topic_based", 100), ("mock", 500), ("franka", 1000)])
def test_controllers_go_as_fast_as_what_stands_behind_them(tmp_path, hardware, rate):
    started(tmp_path, hardware)
    parameters = yaml.safe_load((tmp_path / "controllers.yaml").read_text())
    assert parameters["controller_manager"]["ros__parameters"]["update_rate"] == rate


def test_behind_topics_stands_the_simulation_and_nobody_sends_a_name_without_a_position(tmp_path):
    found = started(tmp_path, "topic_based")
    assert found["sim"].parameters == ({"robot": ROBOT.name, "task": "lift_tray", "autostart": True},)
    assert "sim" not in started(tmp_path, "mock")
    (description, _) = found["robot_state_publisher"].parameters
    systems = ElementTree.fromstring(description["robot_description"]).findall("ros2_control")
    assert all(joint.find("command_interface") is not None for system in systems for joint in system.findall("joint"))
    topics = {it.text for system in systems for it in system.findall("hardware/param") if "topic" in it.get("name")}
    assert topics == {ROBOT.joint_interface.commands, ROBOT.joint_interface.states}


def test_a_robot_without_topics_for_the_simulation_is_refused(tmp_path):
    other = RobotDescription.load("dual_fr3_mujoco")
    with pytest.raises(HardwareError, match="robot 'dual_fr3_mujoco' has no joint_interface"):
        control_processes(ControlOptions(other, tmp_path, "topic_based"))


def test_real_hands_have_a_driver_each_and_no_controller(tmp_path):
    found = control_processes(ControlOptions(ROBOT, tmp_path, "franka", "effort", ("10.0.0.1", "10.0.0.2")))
    assert [it.arguments[0] for it in found if it.executable == "spawner"] == SPAWNED
    hands = [it for it in found if it.package == "franka_gripper"]
    assert [(it.namespace, it.parameters[0]["robot_ip"]) for it in hands] == [
        ("left", "10.0.0.1"),
        ("right", "10.0.0.2"),
    ]
    assert hands[1].parameters[0]["joint_names"] == ["right_fr3_finger_joint1", "right_fr3_finger_joint2"]


def test_gazebo_has_the_controller_manager_in_itself_and_all_live_by_its_clock(tmp_path):
    found = started(tmp_path, "gazebo")
    assert "controller_manager" not in found
    assert all({"use_sim_time": True} in it.parameters for it in found.values())


def test_an_interface_that_the_hardware_lacks_is_refused_with_those_it_has(tmp_path):
    text = "hardware 'mock' cannot be commanded by 'effort'; expected position"
    with pytest.raises(HardwareError, match=text):
        started(tmp_path, "mock", interface="effort")


def test_the_bridge_carries_the_clock_all_pictures_and_the_pose_of_all_that_moves(tmp_path):
    world = World("switches", seed=3)
    create, bridge = gazebo_processes(world.layout, tmp_path)
    assert WORLD in create.arguments
    carried = {it["ros_topic_name"]: it for it in yaml.safe_load((tmp_path / "bridge.yaml").read_text())}
    sdf = ElementTree.fromstring(scene_sdf(world, WORLD))
    published = {
        f"/objects/{it.get('name')}/pose" for it in sdf.iterfind("world/model") if it.find("plugin") is not None
    }
    cameras = {f"/cameras/{name}/image_raw" for name in ROBOT.cameras}
    assert published == {"/objects/lever0/pose", "/objects/lever1/pose"}
    assert published | cameras | {"/clock"} <= set(carried)
    assert {it["direction"] for it in carried.values()} == {"GZ_TO_ROS"}


@pytest.fixture
def launch_file():
    pytest.importorskip("launch_ros.actions", reason="ROS's launch packages are not installed")

    def loaded(name):
        spec = importlib.util.spec_from_file_location(name, project_root() / "launch" / f"{name}.launch.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def test_the_real_launch_takes_every_process(launch_file):
    from launch import LaunchContext

    module = launch_file("ros2_control")
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in module.ARGUMENTS.items()})
    assert [it.node_executable for it in module._nodes(context)].count("spawner") == 5


def test_the_description_is_launched_alone_where_joints_are_published(launch_file):
    from launch import LaunchContext

    module = launch_file("description")
    context = LaunchContext()
    context.launch_configurations["robot"] = "dual_fr3_mujoco"
    (node,) = module._nodes(context)
    assert node.node_executable == "robot_state_publisher"


def test_joints_on_another_topic_are_heard_there():
    moved = ROBOT.model_copy(update={"joint_states_topic": "/robot/joints"})
    assert state_publisher(moved, "<robot/>").remappings == (("joint_states", "/robot/joints"),)
    assert state_publisher(ROBOT, "<robot/>").remappings == ()


def test_gazebo_is_started_with_the_scene_once_all_else_is_prepared(launch_file):
    from launch.actions import IncludeLaunchDescription

    from launch import LaunchContext

    module = launch_file("gazebo")
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, (default, _) in module.ARGUMENTS.items()})
    *nodes, simulator = module._entities(context)
    assert isinstance(simulator, IncludeLaunchDescription)
    assert {"create", "parameter_bridge", "robot_state_publisher"} <= {it.node_executable for it in nodes}
    ((_, arguments),) = simulator.launch_arguments
    assert arguments.startswith("-r ") and arguments.endswith("scene.sdf")
