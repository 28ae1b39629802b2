"""The rights in the policy are those that the running nodes use: none is missing, none is to spare."""

import importlib
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSCompatibility, qos_check_compatible
from typer.testing import CliRunner

from clwm_bringup import cli, graph
from clwm_bringup.checks.preflight_node import PreflightNode
from clwm_bringup.security import access_rights
from clwm_bringup.security.sros_policy import to_xml
from clwm_common.enclaves import enclave_arguments
from clwm_common.messages import Mode
from clwm_common.robot.description import RobotDescription
from clwm_common.robot.gripper import GripperAction
from clwm_common.ros.lifecycle import ClwmNode
from clwm_msgs.action import RunTask
from clwm_operator.console.console_node import ConsoleNode
from clwm_operator.demo.demo_node import DemoNode
from clwm_operator.foxglove.foxglove_node import FoxgloveNode, served_topics
from clwm_operator.foxglove.topics import FRAMES, TIMELINE
from clwm_operator.operator_node import OperatorNode
from clwm_operator.recorder.episode_recorder import EpisodeRecorder
from clwm_operator.recorder.recorder_node import RecorderNode, given_topics, recorded_topics
from clwm_operator.recording import Recording
from clwm_operator.teleop.device_node import JoyDevice, LeaderDevice
from clwm_operator.teleop.mapping import JoyMapping, LeaderMapping, load_mapping
from clwm_operator.teleop.teleop_node import TeleopNode

NAMES = ("sim", "perception", "executor", "policy")
ACTION_SERVICES = ("send_goal", "cancel_goal", "get_result")
ACTION_TOPICS = ("feedback", "status")
CLOCK = "/clock"


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load(graph.StackOptions.robot)


@pytest.fixture(scope="module")
def table(robot):
    return {row.node: row for row in access_rights.access_table(robot)}


pytestmark = pytest.mark.usefixtures("ros_context")


def opened(node):
    """What ROS knows of `node`: (publishes, subscribes, serves, calls) by full name."""
    ask = (
        node.get_publisher_names_and_types_by_node,
        node.get_subscriber_names_and_types_by_node,
        node.get_service_names_and_types_by_node,
        node.get_client_names_and_types_by_node,
    )
    return tuple({name for name, _ in names(node.get_name(), node.get_namespace())} for names in ask)


def without_clock(names):
    """Of a node that was not told --sim-time."""
    return (names[0], names[1] - {CLOCK}, *names[2:])


def granted(row, namespace="/"):
    """The same of a row of the table, with the topics and services that an action is made of."""
    full = [
        {name.replace("~", f"{namespace.rstrip('/')}/{row.node}") for name in names}
        for names in (row.publishes, row.subscribes, row.serves, row.calls)
    ]
    for action in row.executes:
        full[0] |= {f"{action}/_action/{topic}" for topic in ACTION_TOPICS}
        full[2] |= {f"{action}/_action/{service}" for service in ACTION_SERVICES}
    for action in row.sends:
        full[1] |= {f"{action}/_action/{topic}" for topic in ACTION_TOPICS}
        full[3] |= {f"{action}/_action/{service}" for service in ACTION_SERVICES}
    return tuple(full)


@pytest.fixture(scope="module", params=["dual_fr3_mujoco", "dual_fr3_forward", "dual_fr3_gripper_action"])
def configured(request):
    """The nodes of the graph with one robot by name, configured with the graph's own parameters, and their rights.

    ROS's graph still has destroyed nodes for a while: those of another robot are in another namespace.
    """
    nodes = {}
    for spec in graph.build_graph(graph.StackOptions(robot=request.param, sim_time=True)):
        (kind,) = [
            value
            for value in vars(importlib.import_module(spec.module)).values()
            if isinstance(value, type) and issubclass(value, ClwmNode) and value is not ClwmNode
        ]
        parameters = [RosParameter(name, value=value) for name, value in spec.parameters.items()]
        nodes[spec.name] = kind(parameter_overrides=parameters, namespace=request.param)
        assert nodes[spec.name].trigger_configure() == TransitionCallbackReturn.SUCCESS, nodes[spec.name].fault
    yield nodes, {row.node: row for row in access_rights.access_table(RobotDescription.load(request.param))}
    for node in nodes.values():
        node.trigger_shutdown()
        node.destroy_node()


@pytest.mark.parametrize("name", NAMES)
def test_a_node_of_the_graph_has_the_rights_that_it_uses_and_no_other(configured, name):
    nodes, rights = configured
    assert opened(nodes[name]) == granted(rights[name], nodes[name].get_namespace())


@pytest.fixture
def recorder(robot, tmp_path):
    topics = given_topics(robot)
    core = EpisodeRecorder(tmp_path, recorded_topics(topics), {}, (), keep_free=0, free_bytes=lambda: 1)
    node = RecorderNode(core, topics, 90, print)
    yield node
    node.destroy_node()


def test_every_subscription_is_compatible_with_every_publisher_of_its_topic(configured, robot, recorder):
    nodes, _ = configured
    others = [OperatorNode(), DemoNode(Recording(tuple(robot.cameras))), PreflightNode(robot), TeleopNode("leader")]
    others.append(ConsoleNode(robot))
    others[-1].watch(True)
    everybody = [*nodes.values(), *others]
    met, asked = set(), nodes["policy"]
    for topic, _ in asked.get_topic_names_and_types():
        for publisher in asked.get_publishers_info_by_topic(topic):
            for subscriber in asked.get_subscriptions_info_by_topic(topic):
                verdict, reason = qos_check_compatible(publisher.qos_profile, subscriber.qos_profile)
                ends = f"{topic}: {publisher.node_name} to {subscriber.node_name}"
                assert verdict == QoSCompatibility.OK, f"{ends}: {reason}"
                met.add((topic, publisher.node_name, subscriber.node_name))
    everybody = {node.get_name() for node in [*everybody, recorder]}
    for node in others:
        node.destroy_node()
    # The look would be in vain if it met nobody: these are the ends of the way from a picture to a motion.
    assert {
        ("/cameras/head/image_raw", "sim", "perception"),
        ("/clwm/feature_frame", "perception", "policy"),
        ("/clwm/action_chunk", "policy", "executor"),
        ("/clwm/chunk_request", "executor", "policy"),
        ("/clwm/state", "executor", "clwm_teleop"),
        ("/clwm/mode", "executor", "clwm_operator"),
        ("/joint_states", "sim", "executor"),
        ("/cameras/head/image_raw", "sim", "clwm_recorder"),
    } <= met and everybody <= {name for _, *ends in met for name in ends}


def test_a_gripper_behind_an_action_is_sent_goals_and_no_topic(robot):
    command = GripperAction(kind="action", name="/left_hand/move")
    gripper = robot.left.gripper.model_copy(update={"command": command})
    other = robot.model_copy(update={"left": robot.left.model_copy(update={"gripper": gripper})})
    (executor,) = (row for row in access_rights.access_table(other) if row.node == "executor")
    assert executor.sends == ("/left_hand/move",) and "/left_gripper/command" not in executor.publishes
    assert '<actions call="ALLOW">' in to_xml([executor])


def test_a_topic_that_is_not_in_the_table_would_be_noticed(configured):
    nodes, rights = configured
    narrower = replace(rights["policy"], subscribes=rights["policy"].subscribes[1:])
    assert opened(nodes["policy"])[1] - granted(narrower)[1] == {rights["policy"].subscribes[0]}


def test_the_operators_nodes_open_nothing_that_the_table_does_not_grant(robot, table, recorder):
    demo, teleop = DemoNode(Recording(tuple(robot.cameras))), TeleopNode("test")
    JoyDevice(teleop, robot, load_mapping(JoyMapping, "joy"), "/joy")
    leading = load_mapping(LeaderMapping, "leader")
    LeaderDevice(teleop, robot, leading, "/leader/joint_states", "/joy", False, lambda now: False)

    def look(condition, what):
        seen.append(opened(demo))
        raise InterruptedError

    seen = []
    with pytest.raises(InterruptedError):
        demo.set_mode(Mode.HOLD, look)
    joints = robot.joint_states_topic  # of clwm soak
    assert tuple(a | b for a, b in zip(seen[0], (set(), {joints, CLOCK}, set(), set()), strict=True)) == granted(
        table["clwm_demo"]
    )
    assert opened(teleop) == without_clock(granted(table["clwm_teleop"]))
    preflight = PreflightNode(robot)
    assert opened(preflight) == without_clock(granted(table["clwm_preflight"]))
    assert opened(recorder) == without_clock(granted(table["clwm_recorder"]))
    console = ConsoleNode(robot)
    console.watch(True)
    assert opened(console) == without_clock(granted(table["clwm_console"]))
    nothing = [lambda *_: None] * 4
    foxglove = FoxgloveNode(robot, *nothing)
    topics = [*served_topics(robot), FRAMES, TIMELINE]
    for topic in topics:
        foxglove.watch(topic)
    assert opened(foxglove) == without_clock(granted(table["clwm_foxglove"]))
    for topic in topics:
        foxglove.leave(topic)
    assert not opened(foxglove)[1] - {CLOCK, "/parameter_events"}, "nobody looks, and it listens"
    for node in (demo, teleop, preflight, console, foxglove):
        node.destroy_node()


def test_an_operator_who_runs_a_task_opens_nothing_that_the_table_does_not_grant(table):
    operator, seen = OperatorNode(), []

    def look(condition, what):
        seen.append(opened(operator))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        operator.run_task(RunTask.Goal(instruction="lift the tray", timeout=1.0), look, lambda: None)
    with pytest.raises(InterruptedError):
        operator.set_mode(Mode.HOLD, look)
    both = tuple(a | b for a, b in zip(*seen, strict=True))
    assert both == granted(table["clwm_operator"])
    operator.destroy_node()


def test_every_process_starts_in_an_enclave_of_the_table(table):
    for spec in graph.build_graph(graph.StackOptions()):
        command = spec.command()
        assert command[command.index("--enclave") + 1] == table[spec.name].enclave


def test_the_enclave_reaches_ros():
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", *enclave_arguments("policy")], context=context)
    node = rclpy.create_node("enclave_probe", context=context)
    assert ("enclave_probe", "/", "/clwm/policy") in node.get_node_names_and_namespaces_with_enclaves()
    node.destroy_node()
    context.shutdown()


def test_the_policy_file_says_what_the_table_says(robot, table, tmp_path):
    path = tmp_path / "policy.xml"
    result = CliRunner().invoke(cli.app, ["security", "policy", "--out", str(path)])
    assert result.exit_code == 0, result.output
    root = ElementTree.parse(path).getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    read = {}
    for enclave in root.iterfind("enclaves/enclave"):
        for profile in enclave.iterfind("profiles/profile"):
            rights = {rule: tuple(e.text for e in part) for part in profile for rule in part.attrib}
            assert {value for part in profile for value in part.attrib.values()} == {"ALLOW"}
            read[profile.get("node")] = access_rights.Access(
                profile.get("node"),
                enclave.get("path"),
                *(rights.get(right, ()) for right in ("publish", "subscribe", "reply", "request", "execute", "call")),
            )
    assert read == table


def test_only_the_executor_may_command_the_arms_and_only_the_policy_sends_chunks(robot, table):
    def publishers(topic):
        return {row.enclave for row in table.values() if topic in row.publishes}

    for arm in robot.arms:
        assert publishers(arm.controller.topic) == {"/clwm/executor"}
        assert publishers(arm.gripper.command.name) == {"/clwm/executor"}
    assert publishers("/clwm/action_chunk") == {"/clwm/policy"}


def test_the_topics_of_another_robot_are_those_of_its_description(robot):
    other = robot.model_copy(update={"joint_states_topic": "/other/joints"})
    text = to_xml(access_rights.access_table(other))
    assert text.count("<topic>/other/joints</topic>") == 6 and f">{robot.joint_states_topic}<" not in text


def test_every_joint_state_topic_of_arms_in_namespaces_may_be_heard_by_the_executor():
    robot = RobotDescription.load("dual_fr3_franka")
    (executor,) = (row for row in access_rights.access_table(robot) if row.node == "executor")
    assert {source.topic for source in robot.joint_sources()} <= set(executor.subscribes)
    assert "/left/arm_controller/get_parameters" in executor.calls


def test_a_keystore_can_be_made_of_the_policy(tmp_path, table):
    """Runs where SROS2 is installed: its schema takes the policy, and every right ends up in signed permissions."""
    keystore = pytest.importorskip("sros2.keystore")
    store, policy = tmp_path / "keystore", tmp_path / "policy.xml"
    policy.write_text(to_xml(table.values()))
    keystore.create_keystore(store)
    for enclave in sorted({row.enclave for row in table.values()}):
        keystore.create_enclave(store, enclave)
        keystore.create_permission(store, enclave, policy)
        text = (store / "enclaves" / enclave.lstrip("/") / "permissions.xml").read_text()
        for row in (row for row in table.values() if row.enclave == enclave):
            publishes, subscribes, serves, calls = granted(row)
            for topic in publishes | subscribes:
                assert f"<topic>rt{topic}</topic>" in text
            for service in serves | calls:
                assert f"<topic>rq{service}Request</topic>" in text and f"<topic>rr{service}Reply</topic>" in text


def test_the_command_line_prints_the_policy_too():
    result = CliRunner().invoke(cli.app, ["security", "policy"])
    assert result.exit_code == 0 and ElementTree.fromstring(result.output.encode()).tag == "policy"


def test_an_unwritable_file_is_named():
    result = CliRunner().invoke(cli.app, ["security", "policy", "--out", "/nowhere/policy.xml"])
    assert result.exit_code == 2 and "/nowhere/policy.xml" in json.dumps(result.output)
