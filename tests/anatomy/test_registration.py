import numpy as np
import pytest

from vesalius.anatomy.registration import carried_dice, compose, outline, ransac
from vesalius.chance import generator
from vesalius.features.subjects import Subject
from vesalius.space.warp import about_centre, axis_rotation, inverse, move, warp


def affine(ndim):
    return about_centre(1.1 * axis_rotation(12, 2, ndim), np.arange(ndim) - 4.0, (90,) * ndim)


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_motion_is_found_among_as_many_wrong_matches(ndim):
    rng, matrix = generator(0), affine(ndim)
    a = rng.uniform(0, 90, (80, ndim))
    b = np.concatenate([move(matrix, a[:40]) + rng.normal(0, 0.5, (40, ndim)), rng.uniform(0, 90, (40, ndim))])
    found, share = ransac(a, b, 3.0, 2000, 3.0, generator(1))
    np.testing.assert_allclose(move(found, a), move(matrix, a), atol=2)
    assert 0.5 <= share < 0.6


def test_too_few_matches_or_a_collapse_leave_the_body_where_it_is():
    a = generator(0).uniform(0, 90, (40, 2))
    for b in (a[:4], np.full_like(a, 30) + 1e-3 * a):
        found, share = ransac(a[: len(b)], b, 2.0, 200, 3.0, generator(1))
        assert (share, found.tolist()) == (0.0, np.eye(2, 3).tolist())


def test_noise_agrees_on_little():
    a, b = generator(0).uniform(0, 90, (2, 60, 2))
    assert ransac(a, b, 4.0, 1000, 3.0, generator(1))[1] < 0.25


@pytest.mark.parametrize("ndim", [2, 3])
def test_compose_is_one_after_the_other(ndim):
    points, first, second = generator(0).normal(size=(5, ndim)), affine(ndim), inverse(affine(ndim)) + 0.1
    np.testing.assert_allclose(move(compose(second, first), points), move(second, move(first, points)))
    np.testing.assert_allclose(compose(inverse(first), first), np.eye(ndim, ndim + 1), atol=1e-12)


class Seen:
    """What `carried_dice` needs of a view."""

    def __init__(self, mask, names):
        self.subject = Subject(
            "i", "p", np.zeros((1, *mask.shape[1:]), np.uint8), "0..1", {}, names, np.packbits(mask, axis=0)
        )


def test_dice_of_masks_carried_by_the_true_motion_is_near_one():
    mask = np.zeros((2, 90, 90), bool)
    mask[0, 20:50, 30:70], mask[1, 40:70, 20:40] = True, True
    moved = warp(mask.astype(np.uint8), affine(2), order=0) > 0
    fixed, moving = Seen(mask, ("lung", "heart")), Seen(moved, ("lung", "heart"))
    assert carried_dice(fixed, moving, inverse(affine(2))).min() > 0.95
    still = 2 * (mask & moved).sum((1, 2)) / (mask.sum((1, 2)) + moved.sum((1, 2)))
    np.testing.assert_allclose(carried_dice(fixed, moving, np.eye(2, 3)), still)


def test_dice_is_of_the_structures_that_both_have():
    mask = np.ones((2, 9, 9), bool)
    assert len(carried_dice(Seen(mask, ("a", "b")), Seen(mask, ("b", "c")), np.eye(2, 3))) == 1
    assert len(carried_dice(Seen(mask, ("a", "b")), Seen(mask, ("c", "d")), np.eye(2, 3))) == 0


def test_an_outline_is_the_rim_alone():
    mask = np.zeros((1, 30, 30), bool)
    mask[0, 10:20, 5:25] = True
    rim = outline(mask)
    assert rim.sum() == 2 * 20 + 2 * 8
    assert not rim[11:19, 6:24].any()
