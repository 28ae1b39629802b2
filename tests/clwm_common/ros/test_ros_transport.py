from clwm_common.ros.transport import PROFILE_VARIABLES, send_small_messages_only


def test_light_profile_takes_the_place_of_the_projects_and_of_no_other(tmp_path):
    for name in ("fastdds.xml", "fastdds_light.xml", "mine.xml"):
        (tmp_path / name).write_text("<profiles/>")
    environment = dict(zip(PROFILE_VARIABLES, (str(tmp_path / "fastdds.xml"), str(tmp_path / "mine.xml")), strict=True))
    send_small_messages_only(environment)
    assert [environment[name] for name in PROFILE_VARIABLES] == [
        str(tmp_path / "fastdds_light.xml"),
        str(tmp_path / "mine.xml"),
    ]


def test_without_a_light_profile_or_any_profile_nothing_changes(tmp_path):
    environment = {PROFILE_VARIABLES[0]: str(tmp_path / "fastdds.xml")}
    before = dict(environment)
    send_small_messages_only(environment)
    assert environment == before
