import numpy as np
import pytest

from vesalius.chance import generator
from vesalius.space.warp import about_centre, axis_rotation, fit_affine, inverse, move, warp


def blob(shape, at):
    place = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    return np.exp(-((place - np.reshape(at, (-1, *(1,) * len(shape)))) ** 2).sum(0) / 8)[None]


def motion(ndim, shape):
    turn = axis_rotation(20, 1, ndim)
    return about_centre(1.2 * turn, np.arange(1, ndim + 1), shape)


@pytest.mark.parametrize("shape", [(40, 50), (40, 42, 44)])
def test_what_lay_at_a_point_lies_at_the_moved_point(shape):
    at = np.array(shape) / 2 + 3
    matrix = motion(len(shape), shape)
    moved = warp(blob(shape, at), matrix)[0]
    middle = [(moved * axis).sum() / moved.sum() for axis in np.indices(shape)]
    np.testing.assert_allclose(middle, move(matrix, at[None])[0], atol=0.1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_inverse_brings_every_point_back(ndim):
    points, matrix = generator(0).normal(size=(9, ndim)), motion(ndim, (30,) * ndim)
    np.testing.assert_allclose(move(inverse(matrix), move(matrix, points)), points, atol=1e-12)


def test_the_middle_stays_when_nothing_is_shifted():
    matrix = about_centre(axis_rotation(33, 0, 2), (0, 0), (11, 21))
    np.testing.assert_allclose(move(matrix, [[5, 10]]), [[5, 10]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_rotation_keeps_lengths_its_axis_and_handedness(axis):
    turn = axis_rotation(15, axis, 3)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(turn @ np.eye(3)[axis], np.eye(3)[axis])
    assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_fit_affine_finds_the_motion_of_every_batch(ndim):
    points = generator(1).normal(size=(4, 7, ndim))
    wanted = np.stack([motion(ndim, (20 + i,) * ndim) for i in range(4)])
    target = np.stack([move(m, p) for m, p in zip(wanted, points, strict=True)])
    np.testing.assert_allclose(fit_affine(points, target), wanted, atol=1e-9)


def test_masks_stay_masks_and_come_back():
    mask = np.zeros((1, 40, 40), np.uint8)
    mask[:, 12:28, 12:24] = 1
    matrix = motion(2, (40, 40))
    back = warp(warp(mask, matrix, order=0), inverse(matrix), order=0)
    assert set(np.unique(back)) == {0, 1}
    assert (back != mask).mean() < 0.02
    assert warp(mask[:0], matrix).shape == (0, 40, 40)  # of an image without masks
