from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.space.box import Box
from vesalius.space.grid import assemble, boxes, bump


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(2, 15), st.data())
def test_boxes_cover_stay_inside_and_overlap(shape, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    found = boxes(shape, (size, size), overlap)
    whole, count = Box.whole(shape), np.zeros(shape, int)
    for box in found:
        assert whole.contains(box)
        assert box.shape == tuple(min(size, side) for side in shape)
        count[box.slices] += 1
    assert count.min() >= 1
    for axis in (0, 1):
        starts = sorted({box.start[axis] for box in found})
        assert all(b - a <= size - overlap for a, b in pairwise(starts))


def test_uneven_boxes_keep_their_stride_but_for_the_last():
    assert [box.start[0] for box in boxes((200,), (128,), 64, even=False)] == [0, 64, 72]
    assert [box.start[0] for box in boxes((20,), (8,), 4, even=False)] == [0, 4, 8, 12]
    assert [box.shape for box in boxes((5,), (8,), 4, even=False)] == [(5,)]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(23, 31), (9, 20, 13), (5, 4)])
def test_cut_and_assembled_is_the_image(shape, centred):
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    patches = [(box, image[(slice(None), *box.slices)]) for box in boxes(shape, (8,) * len(shape), 3)]
    np.testing.assert_allclose(assemble(patches, shape, centred), image, atol=1e-5)


def test_overlaps_are_averaged_and_the_centre_weighs_more():
    a, b = (Box((0,), (6,)), np.zeros((1, 6))), (Box((3,), (9,)), np.ones((1, 6)))
    assert assemble([a, b], (9,))[0].tolist() == [0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]
    assert (np.diff(assemble([a, b], (9,), centred=True)[0, 2:7]) > 0).all()


def test_bump_is_positive_symmetric_and_highest_in_the_middle():
    weight = bump((5, 4))
    assert weight.min() > 0
    assert (weight == weight[::-1, ::-1]).all()
    assert weight[2, 1] == weight.max()


def test_uncovered_voxels_and_impossible_overlaps_are_errors():
    with pytest.raises(ValueError, match="4 of 9 voxels"):
        assemble([(Box((0,), (5,)), np.ones((1, 5)))], (9,))
    with pytest.raises(ValueError, match="overlap 4"):
        boxes((9,), (4,), 4)
