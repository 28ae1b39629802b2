"""Arms of fewer than seven joints fill the first channels of the layout; the rest is masked, everywhere."""

import importlib.util

import numpy as np
import pinocchio as pin
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_common.robot.description import RobotDescription, RobotError, config_directory
from clwm_common.robot.kinematics import DualArmKinematics

ROBOT = RobotDescription.load("dual_aloha")
OURS = DualArmKinematics(ROBOT)
MASKED = [6, 13]
configurations = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(-np.pi, np.pi, 14))


def with_changes(tmp_path, change):
    data = yaml.safe_load((config_directory() / "robots" / "dual_aloha.yaml").read_text())
    change(data)
    file = tmp_path / "robot.yaml"
    file.write_text(yaml.safe_dump(data))
    return RobotDescription.from_yaml(file)


def test_arrays_have_fourteen_places_and_the_robot_twelve_names():
    assert ROBOT.channels.tolist() == [*range(6), *range(7, 13)]
    assert len(ROBOT.joint_names) == 12 and (ROBOT.columns(0), ROBOT.columns(1)) == (slice(0, 6), slice(7, 13))
    assert ROBOT.home.shape == (14,) and not ROBOT.home[MASKED].any()
    for name in ("position_lower", "position_upper", "velocity", "acceleration", "jerk"):
        assert ROBOT.limit(name).shape == (14,)
        np.testing.assert_array_equal(ROBOT.limit(name)[ROBOT.channels], 2 * getattr(ROBOT.limits, name))


def test_a_masked_joint_is_on_no_topic():
    (source,) = ROBOT.joint_sources()
    assert source.places == (*range(6), *range(7, 13), 14, 15) and len(source.names) == 14


@pytest.fixture(scope="module")
def pinocchio():
    model = pin.buildModelFromUrdf(str(ROBOT.urdf_path()))
    return model, model.createData()


@given(joints=configurations)
@settings(deadline=None, max_examples=50)
def test_poses_are_those_of_pinocchio_and_masked_joints_change_nothing(pinocchio, joints):
    model, data = pinocchio
    hand = model.getFrameId("hand")
    tool = pin.SE3(np.eye(3), np.array([0.0, 0.0, ROBOT.tool.centre]))
    theirs = []
    for arm, side in enumerate(ROBOT.arms):
        pin.framesForwardKinematics(model, data, joints[ROBOT.columns(arm)])
        theirs.append(pin.SE3ToXYZQUAT(pin.SE3(side.base) * data.oMf[hand] * tool))
    np.testing.assert_allclose(OURS.poses(joints), theirs, atol=1e-12)
    assert not OURS.jacobians(joints)[:, :, 6].any()


def test_the_frames_of_links_that_are_not_there_are_the_last_ones():
    frames = OURS.link_frames(ROBOT.home[None])[0]
    np.testing.assert_array_equal(frames[:, 7], frames[:, 6])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda robot: robot["left"]["joint_names"].append("more"),
            r"left.joint_names has 7 entries and limits.velocity",
        ),
        (
            lambda robot: robot["right"]["home"].pop(),
            r"right.home has 5 entries and limits.velocity has 6; expected one",
        ),
        (lambda robot: robot["limits"]["jerk"].pop(), "velocity 6, acceleration 6, jerk 5, effort"),
        (lambda robot: robot["limits"].update(effort=[0.0] * 6), "effort must be positive for every joint"),
        (
            lambda robot: robot["safety"]["capsules"][3].update(link="link7"),
            "safety.capsules.3.link is link7; arms of 6 joints have link0 to link6 and hand",
        ),
    ],
)
def test_what_is_not_of_as_many_joints_is_refused_by_its_name(tmp_path, change, reason):
    with pytest.raises(RobotError, match=reason):
        with_changes(tmp_path, change)


def test_a_urdf_with_another_number_of_joints_is_refused(tmp_path):
    robot = with_changes(tmp_path, lambda robot: robot["tool"].update(flange="wrist_link"))
    with pytest.raises(RobotError, match="has 5 joints before 'wrist_link', and robot 'dual_aloha' names 6 joints"):
        DualArmKinematics(robot)


def test_an_arm_begins_at_its_base_link(tmp_path):
    robot = with_changes(tmp_path, lambda robot: robot.update(base_link="shoulder_link"))
    with pytest.raises(RobotError, match="has 5 joints before 'hand'"):
        DualArmKinematics(robot)
    robot = with_changes(tmp_path, lambda robot: robot.update(base_link="nowhere"))
    with pytest.raises(RobotError, match="link 'nowhere' does not carry link 'hand'; correct base_link"):
        DualArmKinematics(robot)


@given(st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
@settings(deadline=None, max_examples=20)
def test_a_base_may_stand_at_any_angle(tmp_path_factory, angles):
    names = ("base_roll", "base_pitch", "base_yaw")
    robot = with_changes(
        tmp_path_factory.mktemp("tilt"), lambda robot: robot["left"].update(zip(names, angles, strict=True))
    )
    rotation = pin.rpy.rpyToMatrix(*angles)
    upright = with_changes(tmp_path_factory.mktemp("yaw"), lambda robot: robot["left"].update(base_yaw=0.0))
    base = np.array(robot.left.base_position)
    expected = base + rotation @ (DualArmKinematics(upright).poses(robot.home)[0, :3] - base)
    np.testing.assert_allclose(DualArmKinematics(robot).poses(robot.home)[0, :3], expected, atol=1e-9)


def test_a_relative_path_is_one_in_config_robots():
    assert ROBOT.urdf_path() == config_directory() / "robots" / "vx300s.urdf"


@pytest.mark.skipif(importlib.util.find_spec("gym_aloha") is None, reason="gym-aloha is not installed")
def test_alohas_arms_are_those_of_gym_aloha_and_its_capsules_contain_their_meshes():
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(ROBOT.path_of("simulated_as")))
    data = mujoco.MjData(model)
    joints = np.zeros(14)
    joints[ROBOT.channels] = np.random.default_rng(0).uniform(-1.0, 1.0, 12)
    for name, value in zip(ROBOT.joint_names, joints[ROBOT.channels], strict=True):
        data.joint(name).qpos = value
        np.testing.assert_allclose(
            model.joint(name).range,
            [ROBOT.limit(f"position_{end}")[ROBOT.joint_names.index(name) % 6] for end in ("lower", "upper")],
        )
    mujoco.mj_forward(model, data)
    # gym-aloha's y is our x, and its -x our y.
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    frames = OURS.link_frames(joints[None])[0, 0]
    links = ("", "/shoulder_link", "/upper_arm_link", "/upper_forearm_link", "/lower_forearm_link", "/wrist_link")
    for index, link in enumerate(links):
        body = data.body(f"vx300s_left{link}")
        np.testing.assert_allclose(frames[index, :3, 3], turn @ body.xpos, atol=1e-6)
        points = [vertices(model, data, geom) @ turn.T for geom in geoms_of(model, body.id)]
        for start, end, radius in capsules_of(f"link{index}", frames[index]):
            assert distance_to_line(np.concatenate(points), start, end).max() <= radius
    tool = data.body("vx300s_left/gripper_link")
    reached = tool.xpos + tool.xmat.reshape(3, 3) @ [ROBOT.tool.centre, 0.0, 0.0]
    np.testing.assert_allclose(OURS.poses(joints)[0, :3], turn @ reached, atol=1e-6)
    fingers = [data.body(f"vx300s_left/{side}_finger_link").id for side in ("left", "right")]
    for body in (tool.id, *fingers):
        for geom in geoms_of(model, body):
            points = vertices(model, data, geom) @ turn.T
            near = [distance_to_line(points, *ends) <= radius for *ends, radius in capsules_of("hand", frames[8])]
            assert np.any(near, axis=0).all(), model.geom(geom).name


def geoms_of(model, body):
    return [geom for geom in range(model.ngeom) if model.geom_bodyid[geom] == body and model.geom_dataid[geom] >= 0]


def vertices(model, data, geom):
    mesh = model.geom_dataid[geom]
    first = model.mesh_vertadr[mesh]
    points = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
    return points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]


def capsules_of(link, frame):
    for capsule in ROBOT.safety.capsules:
        if capsule.link == link:
            yield (
                frame[:3, :3] @ capsule.start + frame[:3, 3],
                frame[:3, :3] @ capsule.end + frame[:3, 3],
                capsule.radius,
            )


def distance_to_line(points, start, end):
    way = end - start
    share = np.clip((points - start) @ way / (way @ way), 0.0, 1.0)
    return np.linalg.norm(points - start - share[:, None] * way, axis=1)
