"""Crops: the law of the boxes, and resizing against Pillow and against slow sums."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vesalius.space.box import Box
from vesalius.views.crops import cut, cut_all, random_resized_box, resize, resize_axes, triangle_weights

RADIOGRAPHS = Path(__file__).resolve().parents[3] / "shared" / "data" / "cxr" / "nih" / "images"


@dataclass
class Stored:
    """A scan in memory that remembers what was read of it."""

    image: np.ndarray
    reads: list[Box]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.image.shape[1:]

    def read(self, box: Box | None = None) -> np.ndarray:
        box = box or Box.whole(self.shape)
        self.reads.append(box)
        return np.ascontiguousarray(self.image[:, *box.slices])


def image(seed: int, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0 if dtype == np.uint8 else -1024, 255 if dtype == np.uint8 else 3000, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(512, 512), (300, 511), (40, 50, 60)])
def test_boxes_keep_to_scale_ratio_and_part(shape: tuple[int, ...]) -> None:
    rng, part = (
        np.random.default_rng(0),
        Box(tuple(range(7, 7 + len(shape))), tuple(s + 7 + i for i, s in enumerate(shape))),
    )
    for _ in range(300):
        box = random_resized_box(rng, part)
        assert part.contains(box)
        assert 0.19 * part.size < box.size <= 1.01 * part.size
        assert max(box.shape) <= 4 / 3 * min(box.shape) + 2


def test_areas_and_ratios_are_uniform() -> None:
    """In a square far larger than a crop, no try fails: areas are uniform and log ratios too (Kolmogorov distance)."""
    rng, part = np.random.default_rng(0), Box.whole((4000, 4000))
    boxes = [random_resized_box(rng, part, scale=(0.1, 0.3)) for _ in range(2000)]
    area = np.sort([box.size / part.size for box in boxes])
    ratio = np.sort([np.log(box.shape[1] / box.shape[0]) for box in boxes])
    for values, low, high in ((area, 0.1, 0.3), (ratio, np.log(3 / 4), np.log(4 / 3))):
        assert np.abs((values - low) / (high - low) - np.linspace(0, 1, 2000)).max() < 1.63 / np.sqrt(2000)  # 1 %


def test_in_3d_every_pair_of_axes_is_stretched_alike() -> None:
    rng, part = np.random.default_rng(0), Box.whole((900, 900, 900))
    sides = np.array([random_resized_box(rng, part, scale=(0.1, 0.3)).shape for _ in range(3000)])
    logs = np.log(sides / np.cbrt(sides.prod(1))[:, None])
    np.testing.assert_allclose(logs.mean(0), 0, atol=0.006)
    np.testing.assert_allclose(logs.std(0), logs.std(), atol=0.004)
    assert ((np.abs(logs) < 0.003).sum(1) >= 1).all()  # the third axis keeps the cube root


@pytest.mark.parametrize(
    ("shape", "expected"), [((100, 1000), (100, 133)), ((1000, 100), (133, 100)), ((90, 100), (90, 100))]
)
def test_fallback_is_the_largest_central_box_within_the_ratio(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    box = random_resized_box(np.random.default_rng(0), Box.whole(shape), scale=(4.0, 4.0))
    assert box.shape == expected
    assert box.start == tuple((s - e) // 2 for s, e in zip(shape, expected, strict=True))


def test_one_voxel_gives_itself() -> None:
    assert random_resized_box(np.random.default_rng(0), Box((3, 4), (4, 5))) == Box((3, 4), (4, 5))


@pytest.mark.parametrize("shape", [(400, 397), (195, 203), (98, 90), (33, 500), (5, 3), (1, 1)])
def test_grey_bytes_agree_with_pillow_to_one_level(shape: tuple[int, int]) -> None:
    grey = image(0, (1, *shape))
    expected = np.asarray(Image.fromarray(grey[0]).resize((60, 56), Image.Resampling.BILINEAR), int)
    assert np.abs(resize(grey, (56, 60))[0] - expected).max() <= 1


def test_colour_bytes_agree_with_pillow_and_a_radiograph_too() -> None:
    colour = image(0, (3, 120, 90))
    expected = np.asarray(Image.fromarray(colour.transpose(1, 2, 0)).resize((64, 64), Image.Resampling.BILINEAR), int)
    assert np.abs(resize(colour, (64, 64)).transpose(1, 2, 0) - expected).max() <= 1
    if not RADIOGRAPHS.is_dir():
        pytest.skip("the radiographs are not in shared/ beside the checkout")
    with Image.open(sorted(RADIOGRAPHS.glob("*.jpg"))[0]) as file:
        expected = np.asarray(file.resize((224, 224), Image.Resampling.BILINEAR), int)
        ours = resize(np.asarray(file)[None], (224, 224))[0]
    assert np.abs(ours - expected).max() <= 1
    assert np.abs(ours - expected).mean() < 0.3


def test_hounsfield_volumes_agree_with_a_slow_weighted_sum() -> None:
    volume, size = image(1, (1, 9, 12, 7), np.int16), (4, 12, 9)
    expected = np.zeros((1, *size))
    x, y, z = (triangle_weights(n, m) for n, m in zip(volume.shape[1:], size, strict=True))
    for i, j, k in np.ndindex(size):
        expected[0, i, j, k] = (volume[0] * x[i][:, None, None] * y[j][:, None] * z[k]).sum()
    resized = resize(volume, size)
    assert resized.dtype == np.int16
    assert np.abs(resized - expected).max() < 0.51


def test_matrices_agree_with_pillow_on_floats() -> None:
    values = np.random.default_rng(0).normal(size=(1, 50, 41)).astype(np.float32)
    expected = np.asarray(Image.fromarray(values[0]).resize((64, 20), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resize_axes(torch.from_numpy(values), (20, 64))[0], expected, atol=1e-5)


def test_constants_stay_and_frequencies_above_the_new_limit_vanish() -> None:
    assert (resize(np.full((1, 7, 9, 5), -1000, np.int16), (3, 20, 5)) == -1000).all()
    stripes = np.tile(np.array([0, 255], np.uint8), (1, 64, 64))
    assert (
        np.abs(resize(stripes, (32, 32)).astype(int)[:, :, 1:-1] - 127.5).max() <= 1
    )  # at the edge the triangle is cut


def test_cut_reads_only_the_box_and_cut_all_reads_once() -> None:
    scan = Stored(image(2, (1, 90, 80)), [])
    boxes = [Box((10, 20), (50, 60)), Box((30, 5), (70, 55))]
    single = [cut(scan, box, (32, 32)) for box in boxes]
    assert scan.reads == boxes
    np.testing.assert_array_equal(single, cut_all(scan, boxes, (32, 32)))
    assert scan.reads[2:] == [Box((10, 5), (70, 60))]
    np.testing.assert_array_equal(cut(scan, boxes[0], (40, 40))[0], scan.image[0, 10:50, 20:60])
