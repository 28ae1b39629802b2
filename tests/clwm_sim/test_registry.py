"""Scenes and goals of other packages are found by their entry points."""

import sys

import numpy as np
import pytest

from clwm_sim import registry
from clwm_sim.registry import RegistryError, goals_in, kinds_in, scene_named, scenes
from clwm_sim.shipped_tasks import UnknownTask, task_named


def forget():
    for cached in (registry.scenes, registry.goal_kinds, registry._announced):
        cached.cache_clear()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """(module text, entry points by name) -> such a package lies on the path, as pip would have put it there."""

    def install(code, points):
        (tmp_path / "their_tasks.py").write_text(code)
        info = tmp_path / "their_tasks-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-tasks\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[clwm.goals]", *lines]) + "\n")
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield install
    sys.modules.pop("their_tasks", None)
    monkeypatch.undo()
    forget()


def documented(name):
    """A block of code of docs/add-a-task.md, by its first line."""
    from pathlib import Path

    text = (Path(__file__).resolve().parents[2] / "docs" / "add-a-task.md").read_text()
    return next(block for block in text.split("```python\n")[1:] if block.startswith(f"# {name}")).split("```")[0]


def test_the_scene_and_the_goal_of_the_document_are_found_in_a_package_of_its_own_and_work(install):
    code = documented("my_tasks.py")
    install(code, {"ball": "their_tasks:SCENE", "push": "their_tasks:Push"})
    assert "two_blocks" in scenes() and scene_named("two_blocks").name == "two_blocks"
    assert [kind.kind for kind in kinds_in("two_blocks")] == ["keep_still", "push_together"]
    layout = scene_named("two_blocks").draw(np.random.default_rng(0))
    names = [goal.name for goal in goals_in("two_blocks", layout)]
    assert names == ["keep_still", "push_together"]

    from clwm_common.robot.description import RobotDescription
    from clwm_sim.experts.goal_expert import GoalExpert
    from clwm_sim.experts.playing import play
    from clwm_sim.goals.judge import Judge
    from clwm_sim.stage import Stage

    robot = RobotDescription.load("dual_fr3_mujoco")
    stage, goals = Stage(scene_named("two_blocks"), robot, 32), goals_in("two_blocks", layout)
    stage.set_up(layout, np.random.default_rng(0))
    judge = Judge(goals, 0.0, stage.situation())
    for _ in play(stage, GoalExpert(robot), goals[1], layout, judge):
        if judge.verdicts["push_together"] != "open" or stage.time > goals[1].timeout:
            break
    assert judge.verdicts["push_together"] == "achieved"


def test_goal_of_another_package_joins_the_scene_it_names(install):
    code = documented("my_tasks.py").replace('("two_blocks",)', '("blocks",)')
    install(code, {"push": "their_tasks:Push"})
    assert "push_together" in [kind.kind for kind in kinds_in("blocks")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("their_tasks:Nothing", "cannot be loaded: .*Nothing"),
        ("no_such_module:Push", "cannot be loaded: No module named 'no_such_module'"),
        ("their_tasks:number", "is a int; expected a Scene or a subclass of Goal"),
    ],
)
def test_entry_point_that_is_no_scene_or_goal_is_named_with_the_remedy(install, value, message):
    install("number = 3\n", {"odd": value})
    with pytest.raises(RegistryError, match=f"entry point 'odd = {value}' of group clwm.goals {message}"):
        scenes()


def test_a_broken_package_is_named_to_who_asks_for_a_scene_and_does_not_harm_the_first_tasks(install):
    install("", {"odd": "their_tasks:Nothing"})
    assert task_named("lift_tray").name == "lift_tray"
    with pytest.raises(UnknownTask, match="task 'blocks': entry point 'odd = their_tasks:Nothing'.* cannot be loaded"):
        task_named("blocks")


def test_two_goals_of_one_name_are_refused(install):
    code = "from clwm_sim.goals.place import Place\nclass Mine(Place):\n    pass\n"
    install(code, {"place": "their_tasks:Mine"})
    with pytest.raises(RegistryError, match="goal 'place' is announced twice"):
        kinds_in("blocks")
