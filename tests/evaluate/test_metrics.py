import numpy as np
import pytest
import torch
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from vesalius.chance import generator
from vesalius.evaluate.metrics import dice, hausdorff95, iou, largest_parts, measured, surface_dice


def pair(shape, seed):
    """Two blocks that overlap, with ragged edges."""
    rng, both = generator(seed), []
    for shift in (0, 2):
        mask = np.zeros(shape, bool)
        mask[tuple(slice(4 + shift, 12 + shift) for _ in shape)] = True
        both.append(mask ^ ((rng.random(shape) < 0.1) & mask))
    return both


@pytest.mark.parametrize("shape", [(20, 20), (18, 18, 18)])
@pytest.mark.parametrize("seed", range(3))
def test_overlap_agrees_with_monai(shape, seed):
    a, b = pair(shape, seed)
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (a, b)]
    assert dice(a, b) == pytest.approx(float(compute_dice(*tensors)), abs=1e-6)
    assert iou(a, b) == pytest.approx(float(compute_iou(*tensors)), abs=1e-6)


def surface(mask):
    return np.argwhere(mask & ~binary_erosion(mask))


@pytest.mark.parametrize("seed", range(3))
def test_hausdorff_is_the_percentile_of_all_distances_in_mm(seed):
    a, b = pair((20, 20), seed)
    spacing = np.array([0.5, 2.0])
    far = cdist(surface(a) * spacing, surface(b) * spacing)
    slow = max(np.percentile(far.min(axis), 95) for axis in (0, 1))
    assert hausdorff95(a, b, spacing) == pytest.approx(slow, rel=1e-4)


def test_empty_against_empty_is_undefined_and_against_something_is_the_worst():
    nothing, something = np.zeros((9, 9), bool), np.eye(9, dtype=bool)
    assert np.isnan([dice(nothing, nothing), iou(nothing, nothing), hausdorff95(nothing, something)]).all()
    assert np.isnan(surface_dice(nothing, nothing, 1.0))
    assert dice(nothing, something) == iou(nothing, something) == surface_dice(nothing, something, 1.0) == 0
    both = np.stack([nothing, something])
    found = measured(both, both, ("a", "b"), ("dice", "iou", "hd95"), 1.0, None)
    assert found == {("dice", "b"): 1.0, ("iou", "b"): 1.0, ("hd95", "b"): 0.0}
    counted = measured(both, both, ("a", "b"), ("dice", "iou", "hd95"), 1.0, None, empty=True)
    assert counted == {**found, ("dice", "a"): 1.0, ("iou", "a"): 1.0}


def test_of_each_structure_the_largest_part_is_kept_and_corners_connect():
    found = np.zeros((3, 6, 6, 6), bool)
    found[0, :2, :2, :2] = found[0, 2, 2, 2] = True  # nine voxels, one of them at a corner
    found[0, 4:, 4:, 4:] = True  # eight
    found[1, 5, 5, 5] = True
    kept = largest_parts(found)
    assert kept[0].sum() == 9
    assert kept[0, 2, 2, 2]
    assert np.array_equal(kept[1:], found[1:])


def test_surfaces_a_voxel_apart_agree_within_a_voxel_and_not_within_half():
    a = np.zeros((20, 20), bool)
    a[5:15, 5:15] = True
    b = np.roll(a, 1, axis=0)
    assert surface_dice(a, b, 1.0) == 1
    assert surface_dice(a, b, 0.5) < 0.8
    assert surface_dice(a, b, 0.5, spacing=(0.4, 0.4)) == 1
