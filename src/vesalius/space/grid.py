"""Regular boxes over an image, and patches put back together."""

from collections.abc import Iterable
from itertools import product
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.space.box import Box

Array = NDArray[Any]


def boxes(
    shape: tuple[int, ...], size: tuple[int, ...], overlap: tuple[int, ...] | int = 0, even: bool = True
) -> list[Box]:
    """The fewest evenly spread boxes of `size` voxels that cover `shape`; neighbours share at least `overlap` voxels.

    even: False: they share just as many, but for the last, which is moved back to end where the image does. All lie within
    the image: where it is smaller than `size`, so is the box. Row-major order.
    ValueError unless overlap < size.
    """
    overlap = (overlap,) * len(shape) if isinstance(overlap, int) else overlap
    axes = [_starts(*sides, even) for sides in zip(shape, size, overlap, strict=True)]
    corners = (tuple(int(a) for a in start) for start in product(*axes))
    return [Box(start, tuple(a + min(s, n) for a, s, n in zip(start, size, shape, strict=True))) for start in corners]


def _starts(side: int, size: int, overlap: int, even: bool) -> Array:
    if not 0 <= overlap < size:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than the size {size}")
    if side <= size:
        return np.zeros(1, np.int64)
    count = ceil((side - size) / (size - overlap)) + 1
    if not even:
        return np.minimum(np.arange(count) * (size - overlap), side - size)
    return np.rint(np.linspace(0, side - size, count)).astype(np.int64)


def bump(shape: tuple[int, ...]) -> Array:
    """(*shape) float32 weights, highest at the centre and falling linearly to the faces, positive everywhere."""
    weight = np.ones(shape, np.float32)
    for axis, side in enumerate(shape):
        edge = 1 - np.abs(2 * np.arange(side) + 1 - side) / (side + 1)
        weight *= edge.astype(np.float32).reshape(-1, *(1,) * (len(shape) - axis - 1))
    return weight


def assemble(patches: Iterable[tuple[Box, Array]], shape: tuple[int, ...], centred: bool = False) -> Array:
    """(box, (C, *box.shape)) pairs -> (C, *shape) float32: the mean where patches overlap.

    `centred` weighs each patch by `bump`. ValueError where a voxel is covered by no patch.
    """
    total: Array | None = None
    weight = np.zeros(shape, np.float32)
    for box, patch in patches:
        share = bump(box.shape) if centred else np.ones(box.shape, np.float32)
        total = np.zeros((len(patch), *shape), np.float32) if total is None else total
        total[(slice(None), *box.slices)] += patch * share
        weight[box.slices] += share
    if total is None or not weight.all():
        raise ValueError(f"{int((weight == 0).sum())} of {weight.size} voxels are covered by no patch")
    return np.asarray(total / weight)
