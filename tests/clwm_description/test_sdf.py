"""A scene as an SDF world says what the layout says, which MuJoCo's model was fitted to as well."""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from clwm_description.commands import app
from clwm_description.sdf import scene_sdf
from clwm_sim.registry import scenes
from clwm_sim.scenes.base import HEAD_FOVY
from clwm_sim.scenes.fitting import mass_properties
from clwm_sim.scenes.things import Layout, Thing
from clwm_sim.scenes.workcell import HEAD_POSITION, HEAD_TARGET
from clwm_sim.shipped_tasks import TASKS
from clwm_sim.world import World

SCENES = [*scenes()]
every_scene = pytest.mark.parametrize("name", SCENES)


@pytest.fixture(scope="module")
def world():
    """One world, which changes its scene."""
    return World("lift_tray")


@pytest.fixture
def sdf(world):
    def written(name: str, seed: int = 3) -> tuple[Layout, ElementTree.Element]:
        world.reset(seed, name)
        return world.layout, ElementTree.fromstring(scene_sdf(world, name)).find("world")

    return written


def numbers(element: ElementTree.Element, path: str) -> np.ndarray:
    return np.array(element.findtext(path).split(), dtype=float)


def model(world: ElementTree.Element, name: str) -> ElementTree.Element:
    return world.find(f"model[@name='{name}']")


def angle_between(pose: np.ndarray, thing: Thing) -> float:
    """rad between an SDF pose (6,) and how the layout has the object lie, its hinge turned."""
    angle = thing.hinge.angle if thing.hinge else 0.0
    meant = Rotation.from_euler("z", thing.yaw) * Rotation.from_euler("y", angle)
    return (Rotation.from_euler("xyz", pose[3:]).inv() * meant).magnitude()


@every_scene
def test_every_object_lies_where_the_layout_has_it_and_moves_as_it_does(sdf, name):
    layout, world = sdf(name)
    for thing in layout.things.values():
        found = model(world, thing.name)
        pose = numbers(found, "pose")
        np.testing.assert_allclose(pose[:3], thing.position, atol=1e-6)
        assert angle_between(pose, thing) < 1e-5
        assert found.findtext("static") == str(thing.moves == "placed").lower()
        assert (found.find("joint") is not None) == (thing.moves == "hinged")


@every_scene
def test_every_part_has_its_size_colour_and_friction_and_what_is_absent_is_left_out(sdf, name):
    layout, world = sdf(name)
    for thing in layout.things.values():
        link = model(world, thing.name).find("link")
        present = [part for part in thing.parts if part.present]
        assert {it.get("name") for it in link.findall("visual")} == {f"{part.name}_visual" for part in present}
        touching = {f"{part.name}_collision" for part in present if part.touches}
        assert {it.get("name") for it in link.findall("collision")} == touching
        for part in present:
            visual = link.find(f"visual[@name='{part.name}_visual']")
            np.testing.assert_allclose(numbers(visual, "material/diffuse"), [*part.colour, 1.0], atol=1e-6)
            pose = numbers(visual, "pose")
            np.testing.assert_allclose(pose[:3], part.position, atol=1e-6)
            assert (Rotation.from_euler("xyz", pose[3:]).inv() * Rotation.from_euler("z", part.turn)).magnitude() < 1e-5
            if part.shape == "box":
                np.testing.assert_allclose(numbers(visual, "geometry/box/size"), 2.0 * np.array(part.size), atol=1e-6)
            else:
                assert numbers(visual, "geometry/cylinder/radius") == pytest.approx(part.size[0])
                assert numbers(visual, "geometry/cylinder/length") == pytest.approx(2.0 * part.size[1])
        for collision in link.findall("collision"):
            assert numbers(collision, "surface/friction/ode/mu") == pytest.approx(thing.friction)


@every_scene
def test_what_moves_weighs_what_the_layout_says_about_the_same_centre(sdf, name):
    layout, world = sdf(name)
    for thing in layout.things.values():
        inertial = model(world, thing.name).find("link/inertial")
        assert (inertial is None) == (thing.moves == "placed")
        if inertial is None:
            continue
        centre, inertia = mass_properties(thing.parts, thing.mass)
        written = np.zeros((3, 3))
        for row, column in zip(*np.triu_indices(3), strict=True):
            value = float(inertial.findtext(f"inertia/i{'xyz'[row]}{'xyz'[column]}"))
            written[row, column] = written[column, row] = value
        assert float(inertial.findtext("mass")) == pytest.approx(thing.mass)
        np.testing.assert_allclose(numbers(inertial, "pose"), [*centre, 0.0, 0.0, 0.0], atol=1e-7)
        np.testing.assert_allclose(written, inertia, rtol=1e-5, atol=1e-10)


def test_a_lever_is_pushed_away_from_level_and_stops_at_both_ends(sdf):
    layout, world = sdf("switches")
    for thing in layout.of_kind("lever"):
        axis = model(world, thing.name).find("joint/axis")
        ends = [float(axis.findtext(f"limit/{end}")) for end in ("lower", "upper")]
        np.testing.assert_allclose(ends, np.array([-1.0, 1.0]) * thing.hinge.range - thing.hinge.angle, atol=1e-6)
        # Torque = stiffness x (reference - angle), away from level where the stiffness is negative.
        assert float(axis.findtext("dynamics/spring_stiffness")) == pytest.approx(-thing.hinge.snap)
        assert float(axis.findtext("dynamics/spring_reference")) == pytest.approx(-thing.hinge.angle)
        assert float(axis.findtext("dynamics/damping")) == pytest.approx(thing.hinge.damping)


def test_the_head_camera_looks_at_the_table_with_its_upper_side_up(sdf, world):
    _, written = sdf("blocks")
    camera = model(written, "head_camera")
    pose = numbers(camera, "pose")
    forward, _, up = Rotation.from_euler("xyz", pose[3:]).as_matrix().T
    away = np.subtract(HEAD_TARGET, HEAD_POSITION)
    np.testing.assert_allclose(pose[:3], HEAD_POSITION, atol=1e-6)
    np.testing.assert_allclose(forward, away / np.linalg.norm(away), atol=1e-6)
    assert up[2] > 0.0 and abs(up[1]) < 1e-6
    sensor = camera.find("link/sensor/camera")
    assert float(sensor.findtext("horizontal_fov")) == pytest.approx(np.radians(HEAD_FOVY), abs=1e-6)
    assert sensor.findtext("image/width") == str(world.image_size)


def test_objects_that_a_task_does_not_use_are_left_out_as_are_the_arms(sdf):
    _, written = sdf("place_block")
    names = {it.get("name") for it in written.findall("model")}
    assert names == {"table", "floor", "block", "pad", "head_camera"}


def test_what_has_moved_is_written_where_it_is_now(world):
    world.reset(3, "blocks")
    world.displace("block0", (0.05, 0.0))
    written = ElementTree.fromstring(scene_sdf(world, "moved")).find("world")
    x, y, *_ = world.layout.things["block0"].position
    np.testing.assert_allclose(numbers(model(written, "block0"), "pose")[:2], [x + 0.05, y], atol=1e-6)


@pytest.mark.skipif(shutil.which("ign") is None, reason="needs `ign sdf` of ignition-tools and libsdformat-dev")
@pytest.mark.parametrize("name", [*SCENES, *TASKS])
def test_the_real_parser_has_nothing_to_complain_of(world, name, tmp_path):
    world.reset(3, name)
    path = tmp_path / "scene.sdf"
    path.write_text(scene_sdf(world, name))
    # Elements that it does not know go to a log at home alone.
    home = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run(["ign", "sdf", "-k", str(path)], capture_output=True, text=True, timeout=100, env=home)
    assert [it for it in done.stderr.splitlines() if "libignition-tools-backward" not in it] == []
    assert "Valid." in done.stdout and done.returncode == 0
    log = tmp_path / ".sdformat" / "sdformat.log"
    assert not log.exists() or not log.read_text()


def test_the_command_writes_a_world_for_each_scene_and_task(tmp_path):
    done = CliRunner().invoke(app, ["scene", "--scene", "blocks", "--seed", "5", "--out", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    world = ElementTree.parse(tmp_path / "new" / "blocks_5.sdf").find("world")
    assert world.get("name") == "blocks_5"


def test_an_unknown_scene_is_refused_with_those_there_are(tmp_path):
    done = CliRunner().invoke(app, ["scene", "--scene", "moon", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "moon" in done.output and "blocks" in done.output and "lift_tray" in done.output
