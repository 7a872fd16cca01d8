import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.space.resample import kernel, resize, resize_mask, resize_points, shape_at_spacing, short_side

sides = st.integers(1, 40)


def slow(line, new):
    """Antialiased resampling of (n,) by its definition: a triangle as wide as the output voxel, centred on it."""
    n, out = len(line), np.zeros(new)
    reach = max(1.0, n / new)
    for i in range(new):
        weights = [max(0.0, 1 - abs(j + 0.5 - (i + 0.5) * n / new) / reach) for j in range(n)]
        out[i] = np.dot(weights, line) / sum(weights)
    return out


def matrix(old, new):
    taps, weights = kernel(old, new)
    out = np.zeros((new, old))
    np.add.at(out, (np.arange(new)[:, None], taps), weights)
    return out


@settings(derandomize=True, deadline=None, max_examples=40)
@given(sides, sides)
def test_kernel_is_the_definition(old, new):
    line = np.random.default_rng(old * 41 + new).random(old)
    np.testing.assert_allclose(matrix(old, new) @ line, slow(line, new), atol=1e-5)


@pytest.mark.parametrize("shape", [(13, 29), (64, 9), (37, 50), (1, 1)])
def test_pillow_and_the_kernel_agree(shape):
    image = np.random.default_rng(0).random((2, 37, 41)).astype(np.float32)
    ours = np.einsum("ia,jb,cab->cij", matrix(37, shape[0]), matrix(41, shape[1]), image)
    np.testing.assert_allclose(resize(image, shape), ours, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 7), (30, 21), (4, 9, 3), (20, 11, 16)])
def test_dtype_range_and_constants_are_kept(dtype, shape):
    ndim = len(shape)
    image = np.random.default_rng(1).integers(0, 250, (2, *(12, 15, 10)[:ndim])).astype(dtype)
    out = resize(image, shape)
    assert out.shape == (2, *shape)
    assert out.dtype == dtype
    assert image.min() <= out.min()
    assert out.max() <= image.max()
    assert (resize(np.full_like(image, 77), shape) == 77).all()


def test_three_axes_are_three_lines():
    image = np.random.default_rng(0).random((2, 9, 14, 11)).astype(np.float32)
    ours = np.einsum("ia,jb,kc,nabc->nijk", matrix(9, 4), matrix(14, 20), matrix(11, 3), image)
    np.testing.assert_allclose(resize(image, (4, 20, 3)), ours, atol=1e-5)


def test_the_same_shape_changes_nothing_and_sixteen_bits_keep_their_values():
    image = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    assert (resize(image, (256, 256)) == image).all()
    halved = resize(np.repeat(image, 2, axis=1), (256, 256))
    assert (halved[:, 1:-1] == image[:, 1:-1]).all()  # a symmetric kernel leaves a ramp as it is
    assert resize(np.full((1, 9, 9), 65535, np.uint16), (4, 5)).min() == 65535


def test_it_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), 64)[None, None].repeat(128, axis=1)
    assert np.ptp(resize(stripes, (16, 16)).astype(int)[..., 1:-1]) <= 2


@pytest.mark.parametrize("shape", [(31, 77), (100, 60), (40, 90)])
def test_a_blob_keeps_its_centre(shape):
    rows, cols = np.mgrid[:64, :80]
    at = np.array([[23.3, 51.6]])
    blob = np.exp(-((rows - at[0, 0]) ** 2 + (cols - at[0, 1]) ** 2) / 50).astype(np.float32)
    small = resize(blob[None], shape)[0]
    grid = np.mgrid[: shape[0], : shape[1]]
    found = (grid * small).sum((1, 2)) / small.sum()
    np.testing.assert_allclose(found, resize_points(at, (64, 80), shape)[0], atol=0.02)


def test_a_mask_takes_the_voxel_under_the_centre():
    mask = np.random.default_rng(2).random((2, 11, 17, 6)) > 0.5
    out = resize_mask(mask, (5, 30, 6))
    i, j, k = 3, 19, 4
    assert (out[:, i, j, k] == mask[:, int((i + 0.5) * 11 / 5), int((j + 0.5) * 17 / 30), k]).all()
    assert (resize_mask(resize_mask(mask, (33, 34, 12)), (11, 17, 6)) == mask).all()


def test_probabilities_are_interpolated_not_picked():
    ramp = np.linspace(0, 1, 10, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    assert (np.diff(resize_mask(ramp, (40, 3))[0, 4:-4, 0]) > 0).all()


def test_points_at_the_faces_stay_at_the_faces_and_come_back():
    faces = np.array([[-0.5, -0.5], [9.5, 19.5]])
    np.testing.assert_allclose(resize_points(faces, (10, 20), (7, 33)), [[-0.5, -0.5], [6.5, 32.5]])
    points = np.random.default_rng(3).normal(size=(20, 2))
    np.testing.assert_allclose(resize_points(resize_points(points, (10, 20), (7, 33)), (7, 33), (10, 20)), points)


def test_shapes_for_a_spacing_and_for_a_short_side():
    assert shape_at_spacing((100, 100, 30), (0.5, 2.0, 5.0), (1.0, 1.0, 2.0)) == (50, 200, 75)
    assert shape_at_spacing((1, 1), (0.1, 0.1), (10.0, 10.0)) == (1, 1)
    assert short_side((1024, 1400), 512) == (512, 700)
