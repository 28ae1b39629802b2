"""What devices' files may say, and how what is wrong in one is named."""

import pytest

from clwm_common.robot.description import RobotDescription
from clwm_operator.teleop.leader import LeaderReader
from clwm_operator.teleop.mapping import JoyMapping, LeaderMapping, MappingError, load_mapping


def written(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_the_shipped_mappings_can_be_used():
    joy = load_mapping(JoyMapping, "joy")
    assert set(joy.motions) == {"forward", "left", "up", "roll", "pitch", "yaw", "opening"}
    LeaderReader(load_mapping(LeaderMapping, "leader"), RobotDescription.load("dual_fr3_mujoco"))


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (JoyMapping, "forward: {axis: 1}", "field 'dead_man': Field required"),
        (JoyMapping, "dead_man: 5", "nothing moves; expected at least one of forward, left"),
        (JoyMapping, "dead_man: 5\nother_arm: 5\nup: {axis: 1}", "button 5 is both dead_man and other_arm"),
        (JoyMapping, "dead_man: 5\nleft: {axis: 1}\nup: {axis: 1}", "axis 1 is both left and up"),
        (JoyMapping, "dead_man: 5\nopening: {plus: 5, minus: 1}", "button 5 is both dead_man and opening.plus"),
        (JoyMapping, "dead_man: 5\nup: {axis: 1, scale: 3.0}", "less than or equal to 1 (got 3.0)"),
        (JoyMapping, "dead_man: 5\nup: {axes: 1}", "field 'up.buttons.axes': no such field; did you mean 'axis'?"),
        (JoyMapping, "dead_man: 5\nup: {plus: 1}", "field 'up.buttons.minus': Field required"),
        (LeaderMapping, "left: {}\ndead_man: {buton: 0}", "no such field; did you mean 'button'?"),
        (JoyMapping, "dead_man: right\nup: {axis: 1}", "field 'dead_man'"),
        (JoyMapping, "dead_man: 5\nupp: {axis: 1}", "field 'upp': no such field; did you mean 'up'?"),
        (JoyMapping, "[1, 2]", "mine.yaml"),
        (JoyMapping, "dead_man: [", "is not YAML"),
        (LeaderMapping, "tolerance: 0.1", "it leads no arm; expected left, right or both"),
        (LeaderMapping, "left: {}\ntolerance: 2.0", "less than or equal to 0.5 (got 2.0)"),
        (LeaderMapping, "left: {signs: [2, 1, 1, 1, 1, 1, 1]}", "field 'left.signs.0'"),
        (LeaderMapping, "left: {gripper: {joint: t, closed: 1.0, opened: 1.0}}", "closed and opened are both 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file_and_the_field(tmp_path, kind, text, said):
    with pytest.raises(MappingError) as error:
        load_mapping(kind, written(tmp_path, text))
    assert said in str(error.value) and "mine.yaml" in str(error.value)


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(MappingError, match="gamepad.yaml does not exist; expected one of joy, leader, or a path"):
        load_mapping(JoyMapping, "gamepad")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("left: {joints: [a, b]}", "left.joints has 2 entries; robot 'dual_fr3_mujoco' has 7 joints an arm"),
        ("right: {offsets: [0.0]}", "right.offsets has 1 entries"),
        ("left: {joints: [a, a, b, c, d, e, f]}", "joint 'a' of the leader is mapped twice"),
        (
            "left: {joints: [a, b, c, d, e, f, g]}\nright: {joints: [g, h, i, j, k, l, m]}",
            "'g' of the leader is mapped",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_the_robot_is_refused(tmp_path, text, said):
    mapping = load_mapping(LeaderMapping, written(tmp_path, text))
    with pytest.raises(MappingError) as error:
        LeaderReader(mapping, RobotDescription.load("dual_fr3_mujoco"))
    assert said in str(error.value)
