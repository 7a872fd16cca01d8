from itertools import permutations, product

import numpy as np
import pytest

from vesalius.space import affine

TURNS = [(p, f) for p in permutations(range(3)) for f in product([False, True], repeat=3)]


def tilted(seed=0, degrees=20):
    """A turned, shifted grid of 0.8 x 1.1 x 2.5 mm."""
    from scipy.spatial.transform import Rotation

    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("xyz", [degrees, -degrees / 2, 5], degrees=True).as_matrix() * [0.8, 1.1, 2.5]
    out[:3, 3] = np.random.default_rng(seed).normal(size=3) * 100
    return out


def test_voxel_and_mm_are_inverse_and_spacing_is_the_column_norm():
    points = np.random.default_rng(0).normal(size=(10, 3)) * 50
    np.testing.assert_allclose(affine.to_voxel(tilted(), affine.to_mm(tilted(), points)), points, atol=1e-9)
    np.testing.assert_allclose(affine.spacing(tilted()), (0.8, 1.1, 2.5))


@pytest.mark.parametrize(("order", "flip"), TURNS)
def test_reorienting_finds_ras_whatever_the_storage_order(order, flip):
    ras = np.random.default_rng(1).random((2, 4, 5, 6))
    stored = affine.reorient(ras, order, flip)
    stored_affine = affine.reoriented(tilted(), ras.shape[1:], order, flip)
    again = affine.orientation(stored_affine)
    assert (affine.reorient(stored, *again) == ras).all()
    assert (affine.reorient_back(ras, *again) == stored).all()
    np.testing.assert_allclose(affine.reoriented(stored_affine, stored.shape[1:], *again), tilted(), atol=1e-9)


def test_a_voxel_keeps_its_place_in_the_world_when_turned():
    order, flip, shape = (2, 0, 1), (True, False, True), (4, 5, 6)
    marked = np.zeros((1, *shape))
    marked[0, 1, 4, 2] = 1
    place = np.argwhere(affine.reorient(marked, order, flip)[0])
    mm = affine.to_mm(affine.reoriented(tilted(), shape, order, flip), place)
    np.testing.assert_allclose(mm, affine.to_mm(tilted(), np.array([[1, 4, 2]])))


def test_crop_and_resize_keep_places_in_the_world():
    from vesalius.space.resample import resize_points

    points = np.random.default_rng(2).random((5, 3)) * 9
    np.testing.assert_allclose(
        affine.to_mm(affine.cropped(tilted(), (2, 0, 3)), points - [2, 0, 3]), affine.to_mm(tilted(), points)
    )
    moved = resize_points(points, (10, 11, 12), (5, 30, 7))
    np.testing.assert_allclose(
        affine.to_mm(affine.resized(tilted(), (10, 11, 12), (5, 30, 7)), moved), affine.to_mm(tilted(), points)
    )
