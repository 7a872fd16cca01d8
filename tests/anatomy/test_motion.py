import numpy as np
import pytest

from vesalius.anatomy.motion import CONDITIONS, motion
from vesalius.chance import generator
from vesalius.space.warp import move

SHAPES = [(100, 140), (60, 80, 50)]


def drawn(condition, shape, seed=3):
    return motion(condition, generator(seed), shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_motion_is_what_its_name_says(shape):
    ndim, middle = len(shape), (np.array(shape) - 1) / 2
    np.testing.assert_allclose(drawn("upright", shape), np.eye(ndim, ndim + 1), atol=1e-12)
    shift = move(drawn("shift", shape), middle[None])[0] - middle
    assert np.linalg.norm(shift) == pytest.approx(0.1 * min(shape))
    turn = drawn("rotation", shape)[:, :-1]
    assert np.rad2deg(np.arccos((np.trace(turn) - (ndim - 2)) / 2)) == pytest.approx(15)
    zooms = [np.linalg.det(drawn("zoom", shape, seed)[:, :-1]) ** (1 / ndim) for seed in range(200)]
    assert 0.8 <= min(zooms) < 0.82 < 1.22 < max(zooms) <= 1.25


@pytest.mark.parametrize("shape", SHAPES)
def test_all_is_the_three_together_from_the_same_draw(shape):
    linear = drawn("rotation", shape)[:, :-1] @ drawn("zoom", shape)[:, :-1]
    np.testing.assert_allclose(drawn("all", shape)[:, :-1], linear, atol=1e-12)
    middle = (np.array(shape) - 1) / 2
    np.testing.assert_allclose(move(drawn("all", shape), middle[None]), move(drawn("shift", shape), middle[None]))


def test_both_sides_and_all_directions_are_drawn():
    turns = {round(float(drawn("rotation", (9, 9), seed)[0, 1]), 3) for seed in range(20)}
    assert len(turns) == 2
    assert "upright" in CONDITIONS
