"""Scenes: what varies between episodes really varies, in one compiled model, and stays within what was stated."""

import mujoco
import numpy as np
import pytest

from clwm_common.robot.description import RobotDescription
from clwm_sim.cameras import project
from clwm_sim.registry import RegistryError, scene_named, scenes
from clwm_sim.scenes.base import spread
from clwm_sim.scenes.fitting import mass_properties
from clwm_sim.scenes.handover import OUT_OF_REACH
from clwm_sim.scenes.things import PALETTE, Part
from clwm_sim.scenes.workcell import build_model
from clwm_sim.stage import Stage

SEEDS = range(60)


def layout(name, seed):
    return scene_named(name).draw(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def robot():
    return RobotDescription.load("dual_fr3_mujoco")


@pytest.fixture(scope="module")
def stages(robot):
    """One compiled stage for each scene, made when it is first asked for."""
    made = {}

    def stage(name):
        if name not in made:
            made[name] = Stage(scene_named(name), robot, 128)
        return made[name]

    yield stage
    for stage in made.values():
        stage.close()


@pytest.mark.parametrize("name", scenes())
def test_every_layout_has_the_same_objects_with_the_same_parts(name):
    shapes = {
        tuple((thing.name, tuple((part.name, part.shape) for part in thing.parts)) for thing in drawn.things.values())
        for drawn in (layout(name, seed) for seed in SEEDS)
    }
    assert len(shapes) == 1


@pytest.mark.parametrize("name", scenes())
def test_objects_stay_where_they_are_put_and_nothing_is_left_of_the_layout_before(stages, robot, name):
    stage, fresh = stages(name), Stage(scene_named(name), robot, 128)
    for seed in (1, 2, 3):
        drawn = layout(name, seed)
        stage.set_up(drawn, np.random.default_rng(seed))
        stage.advance(0.5)
        for thing in drawn.things.values():
            moved = stage.situation().objects[thing.name].position - thing.position
            assert np.abs(moved).max() < 2e-3, f"{thing.name} moved by {moved} with seed {seed}"
    fresh.set_up(layout(name, 3), np.random.default_rng(3))
    fresh.advance(0.5)
    for thing, state in fresh.situation().objects.items():
        assert np.array_equal(state.position, stage.situation().objects[thing].position)
    assert np.array_equal(fresh.render("head"), stage.render("head"))
    fresh.close()


@pytest.mark.parametrize("name", scenes())
def test_head_camera_sees_every_object_whole(stages, name):
    stage = stages(name)
    for seed in SEEDS:
        drawn = layout(name, seed)
        stage.set_up(drawn, np.random.default_rng(seed))
        now = stage.situation()
        for thing in drawn.things.values():
            state = now.objects[thing.name]
            corners = np.array(
                [
                    state.rotation @ (np.array(part.position) + np.multiply(sign, part.size)) + state.position
                    for part in thing.parts
                    if part.present and part.shape == "box" and part.turn == 0.0
                    for sign in np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)
                ]
            )
            pixels = project(corners, stage.camera_info("head"), stage.camera_pose("head"))
            assert (pixels > 0.0).all() and (pixels < 127.0).all(), f"{thing.name} with seed {seed}: {pixels}"


def test_block_is_at_least_six_pixels_wide_for_the_head_camera(stages):
    stage = stages("blocks")
    widths = []
    for seed in SEEDS:
        drawn = layout("blocks", seed)
        stage.set_up(drawn, np.random.default_rng(seed))
        for block in drawn.of_kind("block"):
            sides = np.array(block.position) + block.height * np.array([[0, -1.0, 0], [0, 1.0, 0]])
            pixels = project(sides, stage.camera_info("head"), stage.camera_pose("head"))
            widths.append(np.linalg.norm(pixels[1] - pixels[0]))
    assert min(widths) > 5.0 and np.median(widths) > 6.0


def test_colours_that_are_named_are_different_among_blocks_among_pads_and_among_levers():
    for seed in SEEDS:
        for name, kind in (("blocks", "block"), ("blocks", "pad"), ("switches", "lever")):
            names = [thing.colour for thing in layout(name, seed).of_kind(kind)]
            assert len(set(names)) == len(names) and set(names) <= set(PALETTE)


def test_only_one_arm_reaches_the_long_block_and_only_the_other_one_the_pad(robot):
    bases = np.array([arm.base_position[:2] for arm in robot.arms])
    for seed in SEEDS:
        drawn = layout("handover", seed)
        bar, pad = drawn.things["bar"], drawn.things["pad0"]
        giver = int(bar.position[1] < 0.0)
        turn = np.array([np.cos(bar.yaw), np.sin(bar.yaw)])
        ends = [np.array(bar.position[:2]) + turn * grip.point[0] for grip in bar.grips]
        away = [np.linalg.norm(np.array([*ends, pad.position[:2]]) - base, axis=1) for base in bases]
        assert away[1 - giver][:2].min() > OUT_OF_REACH - 0.01 and away[giver][2] > OUT_OF_REACH - 0.01
        assert away[giver][:2].max() < 0.75 and away[1 - giver][2] < 0.75


def test_lever_stays_at_either_end_and_goes_to_the_nearer_one_from_the_middle(stages):
    stage, drawn = stages("switches"), layout("switches", 4)
    stage.set_up(drawn, np.random.default_rng(4))
    before = [stage.situation().objects[lever.name].angle for lever in drawn.of_kind("lever")]
    stage.advance(1.0)
    after = [stage.situation().objects[lever.name].angle for lever in drawn.of_kind("lever")]
    assert np.allclose(before, after, atol=0.02)
    lever = drawn.of_kind("lever")[0]
    for side in (1.0, -1.0):
        stage.set_up(drawn, np.random.default_rng(4))
        stage.turn(lever.name, side * 0.25)
        stage.advance(2.0)
        assert stage.situation().objects[lever.name].angle == pytest.approx(side * lever.hinge.range, abs=0.03)


def test_mass_properties_are_what_the_compiler_finds_for_the_same_parts():
    parts = (
        Part("plate", (0.09, 0.13, 0.004), (0.01, 0.02, 0.004), 0.3),
        Part("peg", (0.02, 0.05, 0.0), (0.03, -0.04, 0.05), shape="cylinder"),
        Part("gone", (0.5, 0.5, 0.5), (0.3, 0.0, 0.0), present=False),
    )
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body(name="thing")
    body.add_freejoint()
    shapes = {"box": mujoco.mjtGeom.mjGEOM_BOX, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}
    density = 0.7 / sum(part.volume for part in parts)
    for part in parts[:2]:
        turn = [np.cos(part.turn / 2), 0, 0, np.sin(part.turn / 2)]
        body.add_geom(type=shapes[part.shape], size=part.size, pos=part.position, quat=turn, density=density)
    model = spec.compile()
    centre, inertia = mass_properties(parts, 0.7)
    axes = np.empty(9)
    mujoco.mju_quat2Mat(axes, model.body_iquat[1])
    axes = axes.reshape(3, 3)
    assert model.body_mass[1] == pytest.approx(0.7)
    assert np.allclose(model.body_ipos[1], centre)
    assert np.allclose(axes @ np.diag(model.body_inertia[1]) @ axes.T, inertia)


def compiled(robot, drawn, fovy):
    """The model of a layout alone, its parts where they are and of one density each."""

    def add(spec):
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
        for thing in drawn.things.values():
            turn = [np.cos(thing.yaw / 2), 0, 0, np.sin(thing.yaw / 2)]
            body = spec.worldbody.add_body(
                name=thing.name, mocap=thing.moves == "placed", pos=thing.position, quat=turn
            )
            if thing.moves == "free":
                body.add_freejoint()
            for part in thing.parts:
                body.add_geom(
                    name=f"{thing.name}/{part.name}",
                    type={"box": mujoco.mjtGeom.mjGEOM_BOX, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}[part.shape],
                    size=part.size,
                    pos=part.position,
                    quat=[np.cos(part.turn / 2), 0, 0, np.sin(part.turn / 2)],
                    mass=thing.mass * part.volume / sum(p.volume for p in thing.parts) if part.present else 0.0,
                    rgba=[*part.colour, float(part.present)],
                    friction=[thing.friction, 0.01, 0.0001],
                )

    return build_model(robot, 128, add, fovy)


@pytest.mark.parametrize("name", ["blocks", "tray", "handover", "pot"])
def test_model_fitted_to_a_layout_is_the_one_that_would_be_compiled_for_it(stages, robot, name):
    stage, drawn = stages(name), layout(name, 11)
    stage.set_up(layout(name, 10), np.random.default_rng(0))
    stage.set_up(drawn, np.random.default_rng(0))
    assert stage._model.stat.extent == 1.0  # as compiled: the cameras' near plane hangs on it
    fitted, fresh = stage._model, compiled(robot, drawn, scene_named(name).head_fovy)
    data = mujoco.MjData(fresh)
    mujoco.mj_forward(fresh, data)
    for thing in drawn.things.values():
        for part in thing.parts:
            one, other = (model.geom(f"{thing.name}/{part.name}") for model in (fitted, fresh))
            for field in ("size", "rbound", "rgba", "friction"):
                assert np.allclose(getattr(one, field), getattr(other, field), atol=1e-6), (part.name, field)
            assert np.allclose(stage._data.geom_xpos[one.id], data.geom_xpos[other.id])
            assert np.allclose(stage._data.geom_xmat[one.id], data.geom_xmat[other.id])
        if thing.moves == "free":
            one, other = fitted.body(thing.name), fresh.body(thing.name)
            assert one.mass == pytest.approx(float(other.mass[0]))
            assert np.allclose(stage._data.xipos[one.id], data.xipos[other.id])
            assert np.allclose(one.inertia, np.sort(other.inertia)) or np.allclose(one.inertia, other.inertia)
            for field in ("body_invweight0", "body_subtreemass"):
                assert np.allclose(getattr(fitted, field)[one.id], getattr(fresh, field)[other.id], rtol=1e-4), field


def test_random_looks_are_drawn_around_the_colours_of_the_layout(stages):
    stage, drawn = stages("blocks"), layout("blocks", 8)
    stage.set_up(drawn, np.random.default_rng(0))
    stage.randomise_appearance(np.random.default_rng(1), 0.5, 0.0)
    for thing in drawn.things.values():
        (part,) = thing.parts
        seen = stage._model.geom(f"{thing.name}/{part.name}").rgba[:3]
        assert np.abs(seen - part.colour).max() < 0.15 and not np.array_equal(seen, part.colour)


def test_mass_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs at least one part"):
        mass_properties([Part("gone", (0.1, 0.1, 0.1), present=False)], 1.0)


def test_places_keep_their_distance_and_crowded_boxes_are_refused():
    places = spread(np.random.default_rng(0), [((0.0, 1.0), (0.0, 1.0))] * 4, 0.3)
    away = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9.0 * np.eye(4)
    assert places.shape == (4, 2) and away.min() > 0.3
    with pytest.raises(ValueError, match="widen the boxes"):
        spread(np.random.default_rng(0), [((0.0, 0.1), (0.0, 0.1))] * 4, 0.3)


def test_displaced_object_moves_and_one_that_is_fixed_or_absent_does_not(stages):
    stage = stages("switches")
    with pytest.raises(ValueError, match="'lever0' is fixed"):
        stage.displace("lever0", [0.01, 0.0])
    with pytest.raises(ValueError, match="'spoon' is not in this task; expected one of lever0, lever1, panel"):
        stage.displace("spoon", [0.01, 0.0])
    stage = stages("pot")
    stage.set_up(layout("pot", 0), np.random.default_rng(0))
    before = stage.situation().objects["pot"].position
    stage.displace("pot", [0.02, -0.01])
    assert np.allclose(stage.situation().objects["pot"].position - before, [0.02, -0.01, 0.0])


def test_unknown_scene_is_answered_with_the_known_ones():
    with pytest.raises(RegistryError, match="'kitchen' does not exist; expected one of blocks, tray, handover"):
        scene_named("kitchen")
