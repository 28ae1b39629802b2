"""`clwm new-robot`: what it writes loads and is what the URDF says; what it cannot use it refuses by name."""

import numpy as np
import pinocchio as pin
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_bringup.commands.new_robot import new_robot
from clwm_bringup.new_robot.capsules import containing_capsule
from clwm_common.robot.description import RobotDescription, RobotError
from clwm_common.robot.kinematics import DualArmKinematics
from clwm_sai_executor.checks.clearance import margins_of
from tests.made_up_arms import LIMIT, arm, one_arm, two_arms


def drafted(tmp_path, text, **options):
    urdf = tmp_path / "made_up.urdf"
    urdf.write_text(text)
    out = tmp_path / "robots" / "made_up.yaml"
    new_robot(
        **{"urdf": urdf, "out": out, "left": "", "right": "", "twice": False, "flange": "", "force": False} | options
    )
    return RobotDescription.from_yaml(out)


def test_two_arms_of_one_urdf_become_a_robot_with_its_limits_and_kinematics(tmp_path, capsys):
    robot = drafted(tmp_path, two_arms())
    assert robot.left.joint_names == [f"left_joint{number}" for number in range(1, 7)]
    assert robot.right.gripper.finger_joint == "right_finger1"
    assert (robot.left.gripper.opening_min, robot.left.gripper.opening_max, robot.left.gripper.speed) == (
        0.0,
        0.08,
        0.2,
    )
    limits = robot.limits
    assert limits.position_lower == [-2.5] * 6 and limits.velocity == [2.0] * 6 and limits.effort == [60.0] * 6
    assert limits.acceleration == [4.0] * 6 and limits.jerk == [400.0] * 6
    joints = np.zeros(14)
    joints[robot.channels] = np.random.default_rng(0).uniform(-1.0, 1.0, 12)
    model = pin.buildModelFromUrdf(str(robot.urdf_path()))
    data, configuration = model.createData(), pin.neutral(model)
    for name, value in zip(robot.joint_names, joints[robot.channels], strict=True):
        configuration[model.joints[model.getJointId(name)].idx_q] = value
    pin.framesForwardKinematics(model, data, configuration)
    for side, pose in zip(("left", "right"), DualArmKinematics(robot).poses(joints), strict=True):
        palm = data.oMf[model.getFrameId(f"{side}_palm")]
        np.testing.assert_allclose(pose[:3], palm.act(np.array([0.0, 0.0, robot.tool.centre])), atol=1e-6)
    said = capsys.readouterr().out
    for field in ("home", "limits.acceleration", "tool", "gripper", "workspace_lower", "cameras", "driver", "capsules"):
        assert f"- {field}" in said
    text = (tmp_path / "robots" / "made_up.yaml").read_text()
    assert "jerk: [400.0, 400.0, 400.0, 400.0, 400.0, 400.0]  # rad/s^3, TO FILL: not in the URDF" in text


def test_acceleration_that_the_urdf_has_is_taken_and_not_asked_for(tmp_path, capsys):
    limit = LIMIT.replace("effort", 'acceleration="9.5" jerk="300" effort')
    robot = drafted(tmp_path, two_arms(limit=limit, changed=range(6)))
    assert robot.limits.acceleration == [9.5] * 6 and robot.limits.jerk == [300.0] * 6
    assert "limits.acceleration" not in capsys.readouterr().out


def test_of_limits_that_differ_between_the_arms_the_narrower_ones_count(tmp_path):
    robot = drafted(tmp_path, two_arms(right={"limit": '<limit lower="-1" upper="3" velocity="1" effort="60"/>'}))
    assert robot.limits.position_lower == [-2.5, -2.5, -1.0, -1.0, -1.0, -1.0]
    assert robot.limits.position_upper == [2.5] * 6 and robot.limits.velocity == [2.0, 2.0, 1.0, 1.0, 1.0, 1.0]


def test_every_collision_shape_is_inside_a_capsule_of_its_link(tmp_path):
    robot = drafted(tmp_path, two_arms())
    links = [capsule.link for capsule in robot.safety.capsules]
    assert [links.count(f"link{index}") for index in range(7)] == [1] * 7 and links.count("hand") == 5
    assert [capsule.above_table for capsule in robot.safety.capsules] == [link != "link0" for link in links]
    upper_arm = next(capsule for capsule in robot.safety.capsules if capsule.link == "link2")
    for point in np.array([[0.04, 0.0, 0.0], [0.0, -0.04, 0.28], [-0.028, 0.028, 0.14]]):
        assert distance(point, upper_arm) <= upper_arm.radius
    assert 0.04 <= upper_arm.radius < 0.045
    bent = robot.home.copy()
    bent[robot.channels] = [0.0, 0.5, 1.0, 0.0, 0.5, 0.0] * 2
    assert all(value[0] > 0.0 for value in vars(margins_of(robot)(bent[None])).values())


def distance(point, capsule):
    start, end = np.array(capsule.start), np.array(capsule.end)
    share = np.clip((point - start) @ (end - start) / ((end - start) @ (end - start)), 0.0, 1.0)
    return np.linalg.norm(point - start - share * (end - start))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_a_capsule_contains_its_points(seed, count):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3)) * rng.uniform(0.0, 1.0, 3) + rng.uniform(-1.0, 1.0, 3)
    start, end, radius = containing_capsule(points)
    way = end - start
    share = np.clip((points - start) @ way / (way @ way), 0.0, 1.0)
    assert np.linalg.norm(points - start - share[:, None] * way, axis=1).max() <= radius + 1e-9


def test_one_arm_taken_twice_stands_on_both_sides(tmp_path, capsys):
    robot = drafted(tmp_path, one_arm(), twice=True)
    assert robot.joint_names[0] == "left_joint1" and robot.joint_names[-1] == "right_joint6"
    assert (robot.left.base_position[1], robot.right.base_position[1]) == (0.3, -0.3)
    assert "base_position, base_yaw: measure where the bases stand" in capsys.readouterr().out


def test_meshes_are_found_by_package_and_missing_ones_are_named(tmp_path):
    corners = [(0, 0, 0), (0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.1)]
    faces = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "".join(
        f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces
    )
    (tmp_path / "my_arm" / "meshes").mkdir(parents=True)
    (tmp_path / "my_arm" / "meshes" / "link.obj").write_text(text)
    mesh = '<mesh filename="package://my_arm/meshes/link.obj"/>'
    cylinder = '<cylinder radius="0.04" length="0.28"/></geometry></collision>'
    whole = one_arm().replace(cylinder, f"{mesh}</geometry></collision>")
    assert mesh in whole
    assert drafted(tmp_path, whole, twice=True).safety.capsules[2].radius < 0.1
    with pytest.raises(RobotError, match=r"mesh 'package://my_arm/meshes/none.obj' is not found; source the workspace"):
        drafted(tmp_path, whole.replace("link.obj", "none.obj"), twice=True, force=True)
    (tmp_path / "my_arm" / "meshes" / "link.dae").write_text("")
    with pytest.raises(RobotError, match=r"is \.dae; expected .stl, .obj, .msh for a collision shape: convert it"):
        drafted(tmp_path, whole.replace("link.obj", "link.dae"), twice=True, force=True)


def test_a_urdf_without_collision_shapes_is_drafted_and_says_what_is_lacking(tmp_path, capsys):
    text = one_arm()
    while "<collision>" in text:
        text = text[: text.index("<collision>")] + text[text.index("</collision>") + len("</collision>") :]
    assert drafted(tmp_path, text, twice=True).safety is None
    assert "- safety: the URDF has no collision shapes, so nothing keeps the arms apart" in capsys.readouterr().out


def test_names_that_yaml_would_take_for_something_else_are_quoted(tmp_path):
    text = two_arms().replace('"left_joint1"', '"left: on"').replace('"right_joint1"', '"right #1"')
    robot = drafted(tmp_path, text)
    assert robot.left.joint_names[0] == "left: on" and robot.right.joint_names[0] == "right #1"


UNNAMED = two_arms().replace("left_", "a").replace("right_", "b")
XACRO = '<robot xmlns:xacro="http://www.ros.org/wiki/xacro" name="x"><xacro:include filename="a.xacro"/></robot>'


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        (
            two_arms(),
            {"left": "l_", "right": "r_"},
            "--left: no such joint: none .* begins with 'l_'; it has left_joint1",
        ),
        (two_arms(), {"left": "left_"}, "--left is given and --right is not; give both, or --twice"),
        (two_arms(), {"right": "right_"}, "--right is given and --left is not"),
        (two_arms(), {"left": "left_", "right": "left_"}, "--left and --right are both 'left_'"),
        (two_arms(), {"left": "left_", "right": "right_", "twice": True}, "--twice takes the URDF's only arm"),
        (two_arms(), {"twice": True}, "left_joint1, right_joint1 all begin with '', and none carries the others"),
        (
            one_arm(),
            {},
            "has joints joint1, .* and none says left or right; give --left PREFIX --right PREFIX, or --twice",
        ),
        (one_arm(prefix="left_"), {}, "has one arm only: joints begin with 'left' and none with 'right'"),
        (UNNAMED, {}, "none says left or right"),
        (two_arms(limit=""), {}, "joint 'left_joint3' has no <limit lower>; add it from the arm's data sheet"),
        (two_arms(limit='<limit lower="-1" upper="1" effort="1"/>'), {}, "'left_joint3' has no <limit velocity>"),
        (
            two_arms(limit='<limit lower="0" upper="0" velocity="1"/>'),
            {},
            "lower 0 and upper 0; expected lower below upper",
        ),
        (
            two_arms(limit='<limit lower="-1" upper="1" velocity="0"/>'),
            {},
            "<limit velocity> 0; expected rad/s above 0",
        ),
        (two_arms(limit='<limit lower="-170" upper="170" velocity="1"/>'), {}, "-170 to 170; .* can only be degrees"),
        (two_arms(limit='<limit lower="x" upper="1" velocity="1"/>'), {}, "has lower 'x'; expected a finite number"),
        (two_arms(extra='<mimic joint="left_joint1"/>'), {}, "'left_joint3' mimics 'left_joint1'; .* remove <mimic>"),
        (two_arms(kind="continuous", changed=(5,)), {}, "'left_joint6' is continuous; .* make it revolute with <limit"),
        (two_arms(kind="planar", changed=(2,)), {}, "'left_joint3' is planar; expected revolute joints in an arm"),
        (two_arms(kind="wobbly", changed=(2,)), {}, "has type 'wobbly'; expected fixed, revolute"),
        (two_arms(right={"joints": 5}), {}, "the arms differ: 6 joints on the left and 5 on the right"),
        (
            two_arms().replace(
                'link="right_link2"/><origin xyz="0 0 0.12"/>', 'link="right_link2"/><origin xyz="0 0 0.13"/>'
            ),
            {},
            "the arms differ at 'left_joint2' and 'right_joint2', by 0.0100",
        ),
        (
            two_arms().replace('"left_stand" type="fixed"', '"left_stand" type="revolute"'),
            {},
            "'left_stand' .* no <limit",
        ),
        (two_arms(), {"flange": "elbow"}, "--flange elbow: .* has no link 'left.*elbow'; it has"),
        (
            XACRO,
            {},
            r"is a xacro that has not been expanded \(it has 'include'\); run `xacro made_up.urdf > made_up.urdf`",
        ),
        (two_arms().replace('value="1.0"', 'value="${mass}"'), {}, r"not been expanded \(it has '\${mass}'\)"),
        ("<sdf/>", {}, "holds <sdf>; expected <robot>"),
        ("joints", {}, "is not XML"),
        (two_arms().replace('<link name="stand"/>', ""), {}, "names link 'stand', which is not there"),
        (two_arms().replace("</robot>", '<link name="alone"/></robot>'), {}, "no joint carries are stand, alone"),
        (two_arms().replace("right_joint1", "left_joint1"), {}, "joint 'left_joint1' is there twice"),
    ],
)
def test_what_cannot_be_used_is_refused_with_name_value_and_remedy(tmp_path, text, options, reason):
    with pytest.raises(RobotError, match=reason):
        drafted(tmp_path, text, **options)
    assert not (tmp_path / "robots" / "made_up.yaml").exists()


def test_a_joint_that_carries_the_arms_is_refused(tmp_path):
    torso = (
        '<link name="floor"/><joint name="torso" type="revolute"><parent link="floor"/><child link="stand"/>'
        f"{LIMIT}</joint></robot>"
    )
    with pytest.raises(RobotError, match=r"joint 'torso' \(revolute\) carries the arm of 'left_joint1'"):
        drafted(tmp_path, two_arms().replace("</robot>", torso))


def test_a_file_that_is_there_is_written_over_only_when_told(tmp_path):
    drafted(tmp_path, two_arms())
    with pytest.raises(RobotError, match=r"made_up.yaml exists already; name another file, or --force"):
        drafted(tmp_path, two_arms())
    drafted(tmp_path, two_arms(), force=True)
    with pytest.raises(RobotError, match=r"expected a name that ends in .yaml"):
        drafted(tmp_path, two_arms(), out=tmp_path / "robot.yml")
    with pytest.raises(RobotError, match="cannot be read: .* name a file that is there"):
        drafted(tmp_path, two_arms(), urdf=tmp_path / "nothing.urdf", force=True)


def test_an_arm_of_more_than_seven_joints_is_ended_by_its_flange(tmp_path):
    longer = arm(joints=6).replace("base", "link0")
    eight = f'<robot name="r"><link name="base"/>{_lengthened(longer)}</robot>'
    with pytest.raises(RobotError, match="has 8 joints before its hand; at most 7 expected: give --flange LINK"):
        drafted(tmp_path, eight, twice=True)
    assert len(drafted(tmp_path, eight, twice=True, flange="link5").left.joint_names) == 7


def _lengthened(rest):
    parts, before = [], "base"
    for number in (1, 2):
        link = "link0" if number == 2 else "riser"
        parts.append("" if link == "link0" else '<link name="riser"/>')
        parts.append(
            f'<joint name="lift{number}" type="revolute"><parent link="{before}"/><child link="{link}"/>{LIMIT}</joint>'
        )
        before = link
    return "".join(parts) + rest


def test_the_file_is_plain_yaml_with_marks_where_a_person_must_look(tmp_path):
    drafted(tmp_path, two_arms())
    text = (tmp_path / "robots" / "made_up.yaml").read_text()
    assert yaml.safe_load(text)["urdf"] == str(tmp_path / "made_up.urdf")
    for field in ("driver", "tool", "acceleration", "workspace_lower", "capsules", "home", "controller", "cameras"):
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{field}:"))
        assert "TO FILL" in line
