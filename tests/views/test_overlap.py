"""Pairs of patches: on an image that holds its own coordinates, shared voxels hold the same; boxes uniform; padding no body."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from fakes.memory import MemoryScan
from vesalius.chance import generator
from vesalius.space.box import Box
from vesalius.views.overlap import AIR, box_around, overlapping_pair, shared_voxels

SHAPES = [((40, 31), (16, 12)), ((20, 24, 17), (12, 10, 8)), ((9, 24, 17), (12, 10, 20))]


def coded(shape: tuple[int, ...], seed: int = 0, unit: str = "0..1") -> MemoryScan:
    """Channels hold the coordinates, plus 1 so that no voxel is like padding; two thirds are body."""
    image = np.stack(np.indices(shape)).astype(np.int32) + 1
    return MemoryScan(image, unit=unit, mask=np.random.default_rng(seed).random(shape) < 2 / 3)


def at(image: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    return image[:, *voxels.T].T


@pytest.mark.parametrize(("shape", "patch"), SHAPES)
def test_shared_voxels_hold_the_same_coordinates_and_are_body(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    scan = coded(shape)
    for i in range(30):
        pair = overlapping_pair(generator(0, i), scan, patch, 60)
        n = int(pair["count"])
        (patch1, patch2), (v1, v2) = pair["pixels"], pair["voxels"][:, :n]
        assert 1 <= n <= 60 == pair["voxels"].shape[1]
        assert all((v >= 0).all() and (v < patch).all() for v in (v1, v2))
        found = at(patch1, v1)
        np.testing.assert_array_equal(found, at(patch2, v2))
        assert scan.body()[*(found - 1).T].all()
        assert len(np.unique(found, axis=0)) == n
        assert not pair["voxels"][:, n:].any()


def test_with_room_for_all_every_shared_body_voxel_is_there() -> None:
    scan, boxes = coded((20, 24, 17)), [Box((0, 2, 3), (12, 12, 11)), Box((5, 4, 0), (17, 14, 8))]
    inside = np.zeros((2, 20, 24, 17), bool)
    for mask, box in zip(inside, boxes, strict=True):
        mask[box.slices] = True
    expected = np.argwhere(inside.all(0) & scan.body())
    found = shared_voxels(generator(0), scan, boxes, 10_000)
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], expected)


def test_few_of_many_shared_voxels_are_drawn_uniformly() -> None:
    scan, boxes, rng = coded((9, 8)), [Box((0, 0), (8, 8)), Box((1, 0), (9, 8))], generator(1)
    counts = np.zeros(scan.shape)
    for _ in range(3000):
        counts[*shared_voxels(rng, scan, boxes, 5).T] += 1
    both = boxes[0].intersect(boxes[1])
    assert counts.sum() == 15_000 == counts[both.slices][scan.body(both)].sum()
    assert chisquare(counts[both.slices][scan.body(both)]).pvalue > 1e-3


@pytest.mark.parametrize("voxel", [(0, 7), (4, 5), (9, 0), (2, 6)])
def test_a_box_is_uniform_among_all_that_hold_the_voxel(voxel: tuple[int, ...]) -> None:
    shape, patch, rng = (10, 8), (4, 3), generator(2)
    every = {start: 0 for start in product(range(7), range(6)) if Box(start, (start[0] + 4, start[1] + 3)).contains(
        Box(voxel, (voxel[0] + 1, voxel[1] + 1)))}  # fmt: skip
    for _ in range(300 * len(every)):
        box = box_around(rng, voxel, shape, patch)
        assert box.shape == patch
        every[box.start] += 1
    assert min(every.values()) > 0
    assert len(every) == 1 or chisquare(list(every.values())).pvalue > 1e-3


@pytest.mark.parametrize(("unit", "fill"), [("HU", AIR), ("0..1", 0)])
def test_a_small_scan_is_padded_after_its_end_and_padding_is_no_body(unit: str, fill: float) -> None:
    scan = coded((9, 24, 17), unit=unit)
    pair = overlapping_pair(generator(3), scan, (12, 10, 20), 500)
    patch1 = pair["pixels"][0]
    assert patch1.shape == (3, 12, 10, 20)
    assert (patch1[:, 9:] == fill).all()
    assert (patch1[:, :, :, 17:] == fill).all()
    np.testing.assert_array_equal(patch1[:, :9, :, :17], scan.image[:, :, patch1[1, 0, 0, 0] - 1 :][:, :, :10])
    assert (pair["voxels"][:, : pair["count"]] < (9, 10, 17)).all()
    assert pair["inside"] == pytest.approx(9 * 17 / (12 * 20))
