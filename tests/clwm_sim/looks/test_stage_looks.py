"""A stage wears looks: for one episode, in its pictures only, and nothing that moves is changed but by distractors."""

import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_sim import cameras
from clwm_sim.cameras import CAMERAS
from clwm_sim.looks.looks import CameraLook, Distractor, Lamp, Lens, Looks, LooksError, Surface
from clwm_sim.registry import scene_named
from clwm_sim.stage import Stage
from clwm_sim.world import ROBOT

GREEN = Surface((0.1, 0.6, 0.2), "checker", (0.9, 0.9, 0.9), 0.1)
BALL = Distractor("sphere", (0.02, 0.0, 0.0), (0.62, 0.3), 0.0, Surface((0.9, 0.9, 0.9)))
LOOKS = Looks(
    surfaces={"table": GREEN, "arms": Surface((0.2, 0.2, 0.6)), "wall": Surface((0.6, 0.6, 0.2), "noise")},
    lamps=(Lamp((0.2, 0.8, 1.5), (0.5, 0.5, 0.4)), Lamp((0.6, -0.6, 0.9), (0.2, 0.2, 0.2))),
    ambient=0.3,
    has_shadows=True,
    cameras={
        name: CameraLook((0.0, 0.01, 0.0), (0.02, 0.0, 0.0), 1.0, Lens(0.004, 1.1, noise=4.0)) for name in CAMERAS
    },
    distractors=(BALL,),
    seed=5,
)


@pytest.fixture(scope="module")
def stage():
    stage = Stage(scene_named("pot"), RobotDescription.load(ROBOT), 64)
    yield stage
    stage.close()


def set_up(stage, seed=0):
    rng = np.random.default_rng(seed)
    stage.set_up(stage.scene.draw(rng), rng)


def pictures(stage):
    return np.stack([stage.render(name) for name in CAMERAS])


def test_looks_are_gone_after_the_next_set_up(stage):
    set_up(stage)
    before = pictures(stage)
    stage.apply_looks(LOOKS)
    assert not np.array_equal(pictures(stage), before)
    set_up(stage)
    assert np.array_equal(pictures(stage), before)


def test_looks_do_not_depend_on_those_before_nor_on_when_drawing_began(stage):
    set_up(stage)
    stage.apply_looks(LOOKS)
    first = pictures(stage)
    stage.apply_looks(Looks(surfaces={"table": Surface((0.9, 0.1, 0.1), "grain", period=0.3)}, seed=9))
    stage.apply_looks(LOOKS)
    assert np.array_equal(pictures(stage), first)
    stage.close()
    assert np.array_equal(pictures(stage), first)


def test_looks_are_constant_while_things_move(stage):
    set_up(stage)
    stage.apply_looks(LOOKS)
    fields = ("geom_rgba", "geom_matid", "light_pos", "light_diffuse", "cam_pos", "cam_quat", "cam_fovy", "tex_data")
    before = {name: getattr(stage._model, name).copy() for name in fields}
    stage.advance(0.5)
    assert all(np.array_equal(getattr(stage._model, name), before[name]) for name in fields)


def test_noise_is_the_same_at_one_instant_and_another_at_the_next_picture(stage):
    set_up(stage)
    stage.apply_looks(Looks(cameras={"head": CameraLook(lens=Lens(noise=4.0))}))
    first, again = stage.render("head"), stage.render("head")
    stage.advance(0.05)
    other = stage.render("head")
    assert np.array_equal(first, again)
    table = np.s_[50:60, 20:40]
    assert not np.array_equal(first[table], other[table])


def test_looks_without_distractors_leave_physics_alone(stage):
    def outcome(looks):
        set_up(stage)
        stage.apply_looks(looks)
        stage.advance(0.4)
        return stage._data.qpos.copy()

    assert np.array_equal(outcome(Looks()), outcome(Looks(LOOKS.surfaces, LOOKS.lamps, cameras=LOOKS.cameras)))


def test_distractor_is_solid_and_seen_and_reported(stage):
    set_up(stage)
    before = stage.segment("head")
    stage.apply_looks(Looks(distractors=(BALL,)))
    assert [tuple(each.place) for each in stage.situation().obstacles] == [BALL.place]
    assert (stage.segment("head") != before).any()
    geom = stage._model.geom("distractor0").id
    assert stage._model.geom_contype[geom] == 1
    set_up(stage)
    assert stage.situation().obstacles == () and stage._model.geom_contype[geom] == 0


def test_distractor_that_would_stand_in_an_object_is_left_out(stage):
    set_up(stage)
    place = stage.situation().objects["pot"].position[:2]
    stage.apply_looks(Looks(distractors=(Distractor("sphere", (0.02, 0.0, 0.0), tuple(place), 0.0, GREEN),)))
    assert stage.situation().obstacles == ()


def test_looking_ahead_from_a_stage_with_distractors_meets_them_too(stage):
    set_up(stage)
    stage.apply_looks(LOOKS)
    other = Stage(scene_named("pot"), stage.robot, 64)
    other.become(stage)
    assert other.situation().obstacles == stage.situation().obstacles
    assert np.array_equal(other._data.mocap_pos, stage._data.mocap_pos)
    geom = stage._model.geom("distractor0").id
    assert other._model.geom_size[geom, 0] == BALL.size[0] and other._model.geom_contype[geom] == 1
    other.close()


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (Looks({"ceiling": GREEN}), "surface 'ceiling' does not exist; expected some of"),
        (Looks({"pot/lid": GREEN}), "surface 'pot/lid' does not exist"),
        (Looks(lamps=LOOKS.lamps * 2), "4 lamps are too many; a scene has room for 3"),
        (Looks(distractors=(BALL,) * 5), "5 distractors are too many; a scene has room for 4"),
        (Looks(cameras={"back": CameraLook()}), "camera 'back' does not exist; expected some of head, left_wrist"),
    ],
)
def test_what_a_scene_does_not_have_is_refused_and_changes_nothing(stage, looks, words):
    set_up(stage)
    stage.apply_looks(LOOKS)
    before = stage.render("head")
    with pytest.raises(LooksError, match=words):
        stage.apply_looks(looks)
    assert np.array_equal(stage.render("head"), before)


def test_more_patterns_than_there_is_room_for_are_refused(stage):
    set_up(stage)
    names = [f"pot/{part.name}" for part in stage.layout.things["pot"].parts] + ["table", "floor", "wall"]
    many = {name: Surface((0.5, 0.5, 0.5), "stripes", seed=seed) for seed, name in enumerate(names)}
    with pytest.raises(LooksError, match="patterns are too many; a scene has room for 12"):
        stage.apply_looks(Looks(many))


@pytest.mark.parametrize("scene", ["pot", "handover"])
def test_leaving_out_what_is_out_of_sight_changes_no_picture(scene, monkeypatch):
    stage = Stage(scene_named(scene), RobotDescription.load(ROBOT), 64)
    set_up(stage, 3)
    stage.advance(0.3)
    stage.apply_looks(Looks(LOOKS.surfaces, LOOKS.lamps, distractors=LOOKS.distractors))
    fast = pictures(stage)
    monkeypatch.setattr(cameras, "_in_sight", lambda model, data, camera: np.ones(model.ngeom, bool))
    assert np.array_equal(pictures(stage), fast)
    stage.close()
