"""Whoever may command an arm is judged by the process that it is, never by its name."""

from clwm_common.commanders import Endpoint, fight, foreign_commanders

OURS = Endpoint("/executor", "aa")


def test_one_with_the_name_of_ours_is_foreign_and_ours_is_not_under_any_name():
    found = foreign_commanders([OURS, Endpoint("/executor", "bb"), Endpoint("/other_name", "aa")], {"aa"})
    assert found == ["node '/executor'"]


def test_each_is_named_once_and_one_without_a_name_by_what_is_known_of_it():
    unknown = Endpoint("_NODE_NAMESPACE_UNKNOWN_/_NODE_NAME_UNKNOWN_", "cc")
    found = foreign_commanders([Endpoint("/move_group", "bb"), Endpoint("/move_group", "bb"), unknown], {"aa"})
    assert found == ["a process without a ROS name (cc)", "node '/move_group'"]
    assert fight("/left/cmd", found[1:]) == "node '/move_group' may send to /left/cmd, too"


def test_without_an_executor_everybody_is_foreign():
    assert foreign_commanders([OURS], set()) == ["node '/executor'"]
