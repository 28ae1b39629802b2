"""Preprocessing against an independent reference, and the pictures it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clwm_perception.preprocess import ImageError, Preprocessing, from_raw


def _triangle_resize(image, height, width):
    """Bilinear resize with antialiasing written out: each output pixel is a triangle-weighted mean of input pixels."""
    for axis, size in ((0, height), (1, width)):
        scale = image.shape[axis] / size
        support = max(scale, 1.0)
        centres = (np.arange(size) + 0.5) * scale
        inputs = np.arange(image.shape[axis]) + 0.5
        weights = np.clip(1.0 - np.abs(inputs[None] - centres[:, None]) / support, 0.0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis)
    return image


@pytest.mark.parametrize("shape", [(32, 32), (48, 64), (17, 40)])
def test_pixels_are_rescaled_resized_and_normalised_as_imagenet_expects(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = _triangle_resize(image / 255.0, 32, 32)
    expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    got = Preprocessing((32, 32))(image[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), "float32"),
        (np.zeros((8, 8, 3), np.uint8), r"\(8, 8, 3\)"),
        (np.zeros((1, 8, 8, 4), np.uint8), r"\(1, 8, 8, 4\)"),
        (np.zeros((1, 0, 8, 3), np.uint8), r"\(1, 0, 8, 3\)"),
    ],
)
def test_arrays_that_are_no_rgb_pictures_are_refused_by_shape_or_type(images, named):
    with pytest.raises(ImageError, match=named):
        Preprocessing((8, 8))(images)


@settings(max_examples=30)
@given(height=st.integers(1, 6), width=st.integers(1, 6), padding=st.integers(0, 5), flipped=st.booleans())
def test_padded_and_bgr_messages_give_the_rgb_picture(height, width, padding, flipped):
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    sent = picture[..., ::-1] if flipped else picture
    rows = np.concatenate([sent.reshape(height, -1), np.full((height, padding), 7, np.uint8)], axis=1)
    got = from_raw("bgr8" if flipped else "rgb8", height, width, 3 * width + padding, rows.tobytes())
    np.testing.assert_array_equal(got, picture)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (("mono8", 2, 2, 2, b"\0" * 4), "encoding is 'mono8'; expected rgb8 or bgr8; have the camera's driver"),
        (("rgb8", 2, 2, 6, b"\0" * 11), "data has 11 bytes; expected height x step = 2 x 6 = 12; have the driver"),
        (("rgb8", 2, 2, 6, b"\0" * 13), "data has 13 bytes; expected height x step = 2 x 6 = 12"),
        (("rgb8", 2, 4, 6, b"\0" * 12), "step is 6 bytes; expected at least 12 for 4 pixels of rgb8"),
        (("rgb8", 0, 4, 12, b""), "4 x 0 pixels; expected at least one"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(fields, named):
    with pytest.raises(ImageError, match=named):
        from_raw(*fields)
