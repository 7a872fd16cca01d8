"""Nested crops: overlap over the least, the law of one try after the other, small within large, air, short scans."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from fakes.memory import MemoryScan
from vesalius.chance import generator
from vesalius.space.box import Box
from vesalius.views.crops import cut, hull, resize
from vesalius.views.nested import MultiCrop, SubCrops, holds_tissue, nested_crops, tissue_share

LUNG = (300, 280, 260)
SMALL = SubCrops(((24, 24, 16), (16, 16, 16)), (5, 5, 2), 0.3, ((8, 8, 4), (6, 6, 6)))
CASES = [((60, 50, 40), (16, 16, 16), (8, 8, 4)), ((60, 50), (16, 16), (8, 8))]


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


def test_crops_of_air_are_drawn_again_and_a_scan_of_air_ends_nothing() -> None:
    rule, size = SubCrops(sizes=((16, 16, 16),), margin=(0, 0, 0)), ((16,) * 3, (8,) * 3)
    share = np.repeat([0.0, 0.1, 0.8], 25)[:, None, None]  # of tissue, along x
    image = np.where(generator(0).random((75, 24, 24)) < share, 40, -1000).astype(np.int16)[None]
    for tissue in ((0.3, 1.0), (0.02, 0.25)):
        made = [nested_crops(generator(i), MemoryScan(image, unit="HU"), rule, *size, 1, tissue) for i in range(8)]
        both = [tissue_share(view, "HU") for one in made for view in one["globals"]]
        assert tissue[0] <= min(both) <= max(both) <= tissue[1]
        assert min(both) == pytest.approx(min(float(one["tissue"]) for one in made))
        for i, one in enumerate(made):
            ((*box,),) = one["local_boxes"]
            inside = image[:, *(slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))]
            assert tissue_share(inside, "HU") >= tissue[0], i
            np.testing.assert_array_equal(one["locals"][0], resize(inside, (8, 8, 8)))
    nearest = nested_crops(generator(0), MemoryScan(image, unit="HU"), rule, *size, 1, (0.99, 1.0))
    assert 0.7 < float(nearest["tissue"]) < 0.99
    empty = MemoryScan(np.full((1, 40, 40, 40), -1000, np.int16), unit="HU")
    assert float(nested_crops(generator(0), empty, rule, *size, tissue=(0.02, 1.0))["tissue"]) == 0
    narrow = np.full((1, 200, 16, 16), -1000, np.int16)
    narrow[:, 0, 0, 0] = 40  # too little to be met by chance, and no reason to stop a run
    made = nested_crops(generator(0), MemoryScan(narrow, unit="HU"), rule, *size, tissue=(0.02, 1.0))
    assert float(made["tissue"]) < 0.02


@pytest.mark.parametrize("shape", [(40, 30), (20, 30, 16), (1, 1), (3, 1, 2)])
def test_one_voxel_of_tissue_anywhere_is_found(shape: tuple[int, ...]) -> None:
    unit, dtype, air, tissue = ("HU", np.int16, -1000, -150) if len(shape) == 3 else ("0..1", np.uint8, 12, 13)
    image = np.full((2, *shape), air, dtype)
    assert not holds_tissue(MemoryScan(image, unit=unit))
    for place in ((0,) * len(shape), tuple(n // 2 for n in shape), tuple(n - 1 for n in shape)):
        one = image.copy()
        one[1, *place] = tissue
        assert holds_tissue(MemoryScan(one, unit=unit))


def test_where_the_middle_shows_tissue_the_rest_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    scan, whole = MemoryScan(np.full((1, 64, 64, 64), 40, np.int16), unit="HU"), MemoryScan.read

    def read(self: MemoryScan, box: Box) -> np.ndarray:
        shapes.append(box.shape)
        return whole(self, box)

    monkeypatch.setattr(MemoryScan, "read", read)
    assert holds_tissue(scan)
    assert shapes == [(16, 16, 16)]


def test_the_repaired_filter_for_lungs_rejects_what_the_reference_accepts() -> None:
    """Of the reference: the sum over a view of 64 x 64 x 32 against 0.15 of the 96 x 96 x 96 voxels it was cut as."""
    rule, size = SubCrops(sizes=((24, 24, 24),), margin=(0, 0, 0)), (16, 16, 8)  # a quarter of these
    image = np.full((1, 64, 48, 48), 40, np.int16)  # soft tissue, and on one side of it
    image[:, :36, 4:-4, 4:-4] = -850  # lung
    scan = MemoryScan(image, unit="HU")
    shares = {
        tissue: [
            tissue_share(view, "HU")
            for i in range(6)
            for view in nested_crops(generator(i), scan, rule, size, (8,) * 3, 0, tissue)["globals"]
        ]
        for tissue in ((0.0, 1.0), (0.0, 0.15))
    }
    assert all(share * np.prod(size) <= 0.15 * 24**3 for both in shares.values() for share in both)  # none is rejected
    assert max(shares[0.0, 1.0]) > 0.9
    assert max(shares[0.0, 0.15]) <= 0.15


def test_tissue_counts_whole_and_air_right_below_it_half() -> None:
    image = np.random.default_rng(0).choice([-1000, 40], (1, 6, 5, 7)).astype(np.int16)
    slow = 0.0
    for x, y, z in np.ndindex(6, 5, 7):
        below = z < 6 and image[0, x, y, z + 1] >= -150
        slow += 1 if image[0, x, y, z] >= -150 else 0.5 * below
    assert tissue_share(image, "HU") == pytest.approx(slow / image.size)
    grey = np.array([[[0, 12], [13, 255]]], np.uint8)  # 0.05 of 255 is 12.75
    assert tissue_share(grey, "0..1") == 0.5 == tissue_share(grey / 255, "0..1")
