"""Nested crops: overlap over the least, the law of one try after the other, small within large, air, short scans."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from fakes.memory import MemoryScan
from vesalius.chance import generator
from vesalius.errors import DataError
from vesalius.space.box import Box
from vesalius.views.crops import cut, hull
from vesalius.views.nested import MultiCrop, SubCrops, nested_crops, tissue_share

LUNG = (300, 280, 260)
SMALL = SubCrops(((24, 24, 16), (16, 16, 16)), (5, 5, 2), 0.3, ((8, 8, 4), (6, 6, 6)))
CASES = [((60, 50, 40), (16, 16, 16), (8, 8, 4)), ((60, 50), (16, 16), (8, 8))]


@dataclass(frozen=True)
class FileScan(MemoryScan):
    path: Path = Path("scan.nii")


def coded(shape: tuple[int, ...], unit: str = "HU") -> MemoryScan:
    """Channels hold the coordinates."""
    return MemoryScan(np.indices(shape, np.int16), unit=unit)


def test_iou_has_its_closed_form() -> None:
    for side, shift in product((8, 96), (0, 1, 5, 8)):
        a, b = Box((0,) * 3, (side,) * 3), Box((shift, 0, 0), (side + shift, side, side))
        assert a.iou(b) == pytest.approx((side - shift) / (side + shift))


@pytest.mark.parametrize("shape", [LUNG, (300, 280), (500, 512, 700)])
def test_pairs_overlap_and_keep_to_margin_and_small_ones_lie_within_the_hull(shape: tuple[int, ...]) -> None:
    rule, rng = SubCrops(), generator(0)
    sizes = {size[: len(shape)] for size in rule.sizes}
    inner = Box(rule.margin[: len(shape)], tuple(n - m for n, m in zip(shape, rule.margin, strict=False)))
    for _ in range(60):
        large = rule.large(rng, shape)
        assert large[0].iou(large[1]) > 0.3
        assert all(box.shape in sizes and inner.contains(box) for box in large)
        assert all(hull(large).contains(rule.small(rng, shape, large)) for _ in range(6))


def test_pairs_follow_the_law_of_one_try_after_the_other() -> None:
    rule, rng, shape = SubCrops(sizes=((20, 12), (16, 16), (30, 20)), margin=(5, 2)), generator(1), (60, 48)

    def one_by_one() -> tuple[Box, Box]:
        while True:
            boxes = [Box((5, 2), (55, 46)).place(rng, rule.sizes[rng.integers(3)]) for _ in range(2)]
            if boxes[0].iou(boxes[1]) > 0.3:
                return boxes[0], boxes[1]

    kinds = list(product(rule.sizes, repeat=2))
    counts, sums = np.zeros((2, len(kinds))), np.zeros((2, 4))
    for side, draw in enumerate((lambda: rule.large(rng, shape), one_by_one)):
        for _ in range(500):
            first, second = draw()
            counts[side, kinds.index((first.shape, second.shape))] += 1
            sums[side] += (*first.start, *second.start)
    assert chi2_contingency(counts[:, counts.any(0)]).pvalue > 1e-3
    np.testing.assert_allclose(*(sums / 500), atol=2.2)


def test_small_boxes_are_evenly_placed_and_may_reach_beyond_but_never_out_of_the_scan() -> None:
    rng, large, shape = generator(2), (Box((0, 10), (20, 30)), Box((5, 12), (25, 32))), (26, 60)
    boxes = [SubCrops(small_sizes=((8, 8),), beyond=3).small(rng, shape, large) for _ in range(2000)]
    starts = np.array([box.start for box in boxes])
    assert (starts.min(0) == (0, 7)).all()
    assert (starts.max(0) + 8 == (26, 35)).all()
    assert np.bincount(starts[:, 0]).std() < 3 * (2000 / 19) ** 0.5


@pytest.mark.parametrize(("shape", "size", "small"), CASES)
def test_what_is_cut_is_what_lies_in_its_box(
    shape: tuple[int, ...], size: tuple[int, ...], small: tuple[int, ...]
) -> None:
    scan, ndim = coded(shape), len(shape)
    made = nested_crops(generator(3), scan, SMALL, size, small)
    assert made["globals"].shape == (2, ndim, *size)
    assert made["locals"].shape == (6, ndim, *small)
    assert made["globals"].dtype == scan.dtype
    assert float(made["inside"]) == 1
    for name, boxes, side in (("globals", "global_boxes", size), ("locals", "local_boxes", small)):
        for view, numbers in zip(made[name], made[boxes].tolist(), strict=True):
            box = Box(tuple(numbers[:ndim]), tuple(numbers[ndim:]))
            np.testing.assert_array_equal(view, cut(scan, box, side))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("rule", [SubCrops(), MultiCrop()])
def test_draws_depend_on_the_generator_alone(rule: SubCrops | MultiCrop, ndim: int) -> None:
    scan = MemoryScan.random(0, ndim, side=120)
    one, same, other = (nested_crops(generator(seed), scan, rule, (24,) * ndim, (8,) * ndim) for seed in (4, 4, 5))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["global_boxes"], other["global_boxes"])


def test_multi_crop_takes_shares_of_the_image() -> None:
    scan = MemoryScan.random(0, 2, side=400)
    made = [nested_crops(generator(i), scan, MultiCrop(), (32, 32), (12, 12)) for i in range(30)]
    for name, low, high in (("global_boxes", 0.3, 1.0), ("local_boxes", 0.05, 0.3)):
        sides = np.concatenate([one[name][:, 2:] - one[name][:, :2] for one in made])
        share = sides.prod(1) / np.prod(scan.shape)
        assert low - 0.01 < share.min() < share.max() < high + 0.01


@pytest.mark.parametrize("shape", [(300, 60, 20), (40, 30, 20), (7, 5, 9), (97, 100, 60)])
def test_a_scan_shorter_than_a_crop_is_clamped_and_said(shape: tuple[int, ...]) -> None:
    rule = SubCrops()
    made = nested_crops(generator(5), coded(shape), rule, (64, 64, 32), (16, 16, 16))
    asked = [np.prod(np.minimum(size, shape)) / np.prod(size) for size in rule.sizes]
    assert float(made["inside"]) == pytest.approx(min(asked))
    assert made["global_boxes"].min() >= 0
    assert (made["global_boxes"][:, 3:] <= shape).all()


def test_crops_of_air_are_drawn_again_and_a_scan_of_air_is_named() -> None:
    rule, size = SubCrops(sizes=((16, 16, 16),), margin=(0, 0, 0)), ((16,) * 3, (8,) * 3)
    share = np.repeat([0.0, 0.1, 0.8], 25)[:, None, None]  # of tissue, along x
    image = np.where(generator(0).random((75, 24, 24)) < share, 40, -1000).astype(np.int16)[None]
    for tissue in ((0.3, 1.0), (0.02, 0.25)):
        made = [nested_crops(generator(i), MemoryScan(image, unit="HU"), rule, *size, 1, tissue) for i in range(8)]
        both = [tissue_share(view, "HU") for one in made for view in one["globals"]]
        assert tissue[0] <= min(both) <= max(both) <= tissue[1]
        assert min(both) == pytest.approx(min(float(one["tissue"]) for one in made))
    nearest = nested_crops(generator(0), MemoryScan(image, unit="HU"), rule, *size, 1, (0.99, 1.0))
    assert 0.7 < float(nearest["tissue"]) < 0.99
    empty = FileScan(np.full((1, 40, 40, 40), -1000, np.int16), unit="HU")
    with pytest.raises(DataError, match=r"scan\.nii: holds nothing but air"):
        nested_crops(generator(0), empty, rule, *size, tissue=(0.02, 1.0))
    assert float(nested_crops(generator(0), empty, rule, *size)["tissue"]) == 0
    narrow = np.full((1, 200, 16, 16), -1000, np.int16)
    narrow[:, 0, 0, 0] = 40  # too little to be met by chance, and no reason to stop a run
    made = nested_crops(generator(0), MemoryScan(narrow, unit="HU"), rule, *size, tissue=(0.02, 1.0))
    assert float(made["tissue"]) < 0.02


def test_tissue_counts_whole_and_air_right_below_it_half() -> None:
    image = np.random.default_rng(0).choice([-1000, 40], (1, 6, 5, 7)).astype(np.int16)
    slow = 0.0
    for x, y, z in np.ndindex(6, 5, 7):
        below = z < 6 and image[0, x, y, z + 1] >= -150
        slow += 1 if image[0, x, y, z] >= -150 else 0.5 * below
    assert tissue_share(image, "HU") == pytest.approx(slow / image.size)
    grey = np.array([[[0, 12], [13, 255]]], np.uint8)  # 0.05 of 255 is 12.75
    assert tissue_share(grey, "0..1") == 0.5 == tissue_share(grey / 255, "0..1")
