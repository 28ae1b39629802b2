import colorsys
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_embodichain.expansion import colours, visual
from clwm_sim.cameras import CAMERAS
from clwm_sim.looks.looks import DISTRACTORS, LAMPS, TEXTURES
from clwm_sim.registry import scene_named, scenes
from clwm_sim.scenes.things import PALETTE

seeds = st.integers(0, 2**32 - 1)
strengths = st.floats(0.0, 5.0)


def _nearest(colour, distance):
    return min(PALETTE, key=lambda name: distance(colour, PALETTE[name]))


def _rgb(one, other):
    return float(np.linalg.norm(np.subtract(one, other)))


def _hue(one, other):
    return abs((colorsys.rgb_to_hsv(*one)[0] - colorsys.rgb_to_hsv(*other)[0] + 0.5) % 1.0 - 0.5)


def _drawn(scene, seed, strength=1.0):
    layout = scene_named(scene).draw(np.random.default_rng(seed))
    return layout, visual.draw(np.random.default_rng([seed, 1]), layout, strength)


@pytest.mark.parametrize("distance", [_rgb, _hue])
@given(seed=seeds, name=st.sampled_from(list(PALETTE)), strength=strengths)
@settings(max_examples=60, deadline=None)
def test_a_named_colour_is_nearest_to_its_own_name(distance, seed, name, strength):
    colour = colours.named(np.random.default_rng(seed), name, strength)
    assert _nearest(colour, distance) == name, colour


@given(seed=seeds, scene=st.sampled_from(list(scenes())), strength=strengths)
@settings(max_examples=40, deadline=None)
def test_looks_stay_within_what_is_physically_valid(seed, scene, strength):
    layout, looks = _drawn(scene, seed, strength)
    shades = [shade for each in looks.surfaces.values() for shade in (each.colour, each.accent)]
    assert all(0.0 <= number <= 1.0 for number in itertools.chain(*shades))
    assert len({each for each in looks.surfaces.values() if each.pattern != "plain"}) <= TEXTURES - DISTRACTORS
    assert 1 <= len(looks.lamps) <= LAMPS and all(lamp.position[2] > 0.3 for lamp in looks.lamps)
    light = looks.ambient + sum(np.array(lamp.colour) for lamp in looks.lamps)
    assert (light > 0.45).all() and (light < 1.7).all()
    for name in CAMERAS:
        camera = looks.cameras[name]
        assert np.linalg.norm(camera.shift) <= visual.SHIFT[1] and np.linalg.norm(camera.turn) <= visual.TURN[1]
        assert 0.7 < camera.lens.exposure < 1.4 and (camera.lens.jpeg is None or 25 <= camera.lens.jpeg <= 95)


@given(seed=seeds)
@settings(max_examples=40, deadline=None)
def test_at_strength_1_cameras_are_within_3_cm_and_3_degrees(seed):
    _, looks = _drawn("cue", seed)
    for camera in looks.cameras.values():
        assert np.linalg.norm(camera.shift) <= 0.03 and np.linalg.norm(camera.turn) <= np.radians(3.0)


@given(seed=seeds, scene=st.sampled_from(list(scenes())))
@settings(max_examples=40, deadline=None)
def test_the_same_seed_draws_the_same_looks(seed, scene):
    assert _drawn(scene, seed) == _drawn(scene, seed)
