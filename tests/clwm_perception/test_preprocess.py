"""Preprocessing against an independent reference, and the pictures it refuses."""

import numpy as np
import pytest

from clwm_perception.preprocess import ImageError, Preprocessing


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
