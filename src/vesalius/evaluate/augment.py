"""Augmentation of place for fine-tuning, draw apart from apply: numbers on the host, then whole batches on their device.

A matrix (ndim, ndim + 1) is that of `affine_grid`: from a place of the result to the place that it shows, axes reversed, the
middle of the image at 0 and its ends at -1 and 1.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vesalius.space.box import Box
from vesalius.space.warp import axis_rotation
from vesalius.views.crops import random_resized_box
from vesalius.views.parts import left_right


def which(rng: np.random.Generator, n: int, batch: int) -> Tensor:
    """(batch,) int64: samples of n without repetition; where there are fewer, all of them again and again."""
    return torch.from_numpy(np.concatenate([rng.permutation(n) for _ in range(-(-batch // n))])[:batch])


def crop_matrix(
    rng: np.random.Generator, shape: tuple[int, ...], area: tuple[float, float], rotation: float, flip: float
) -> Tensor:
    """(ndim, ndim + 1): a box of `area` (shares of the voxels; proportions 3/4 to 4/3) that fills the result, turned there by
    up to `rotation` degrees (in 3-D about an axis drawn evenly), left and right swapped with probability `flip`.
    """
    ndim, sides = len(shape), np.array(shape)
    box = random_resized_box(rng, Box.whole(shape), area)
    turn = axis_rotation(rng.uniform(-rotation, rotation), int(rng.integers(3)), ndim)
    if rng.random() < flip:
        turn[:, left_right(ndim)] *= -1
    linear = (np.array(box.shape) / sides)[:, None] * turn
    middle = (np.array(box.start) + np.array(box.stop)) / sides - 1
    matrix = np.concatenate([linear[::-1, ::-1], middle[::-1, None]], axis=1)
    return torch.from_numpy(matrix.copy()).float()


def moved(images: Tensor, matrices: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """(B, C, *S) and (B, ndim, ndim + 1) -> (B, C, *shape), by default *S; linear between voxels, 0 from outside."""
    target = [*images.shape[:2], *(images.shape[2:] if shape is None else shape)]
    grid = functional.affine_grid(matrices, target, align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
