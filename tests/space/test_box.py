import numpy as np
import pytest

from vesalius.space.box import Box


def boxes(seed, shape=(9, 7, 5)):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        a, b = rng.integers(0, np.add(shape, 1), (2, len(shape)))
        yield Box(tuple(map(int, np.minimum(a, b))), tuple(map(int, np.maximum(a, b))))


def filled(box, shape=(9, 7, 5)):
    mask = np.zeros(shape, bool)
    mask[box.slices] = True
    return mask


@pytest.mark.parametrize("axis", [0, 1])
def test_halves_partition_the_box_and_the_second_takes_the_odd_voxel(axis):
    a, b = Box((3, 1), (10, 8)).halve(axis)
    assert filled(a, (12, 12)).sum() + filled(b, (12, 12)).sum() == 49
    assert (filled(a, (12, 12)) | filled(b, (12, 12)))[3:10, 1:8].all()
    assert (a.shape[axis], b.shape[axis]) == (3, 4)


def test_intersection_and_iou_count_voxels():
    for a, b in zip(boxes(0), boxes(1), strict=True):
        both, either = filled(a) & filled(b), filled(a) | filled(b)
        assert a.intersect(b).size == both.sum() == b.intersect(a).size
        if either.any():
            assert a.iou(b) == pytest.approx(both.sum() / either.sum())


def test_contains_means_every_voxel():
    for a, b in zip(boxes(2), boxes(3), strict=True):
        assert a.contains(a.intersect(b)) or not a.intersect(b).size
        if b.size:
            assert a.contains(b) == (filled(b) <= filled(a)).all()


def test_whole_size_and_array():
    box = Box.whole((4, 6, 2))
    assert box.size == np.ones((4, 6, 2)).size
    assert box.ndim == 3
    assert box.array().tolist() == [0, 0, 0, 4, 6, 2]
