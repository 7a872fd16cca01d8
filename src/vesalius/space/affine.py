"""Voxel <-> millimetre, and orientation. World coordinates are RAS+ mm; integer voxel coordinates are voxel centres."""

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def to_mm(affine: Array, voxels: Array) -> Array:
    """(N, ndim) voxel coordinates -> (N, ndim) RAS+ mm."""
    return np.asarray(voxels @ affine[:-1, :-1].T + affine[:-1, -1])


def to_voxel(affine: Array, mm: Array) -> Array:
    """(N, ndim) RAS+ mm -> (N, ndim) voxel coordinates, not rounded."""
    return np.asarray(np.linalg.solve(affine[:-1, :-1], (mm - affine[:-1, -1]).T).T)


def spacing(affine: Array) -> tuple[float, ...]:
    """mm from voxel to voxel along each array axis."""
    return tuple(float(side) for side in np.linalg.norm(affine[:-1, :-1], axis=0))


def orientation(affine: Array) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """How to make an array RAS+: `order[i]` is the array axis nearest to world axis i, `flip[i]` whether it runs
    against it. For a tilted grid, the assignment of axes with the largest sum of cosines.
    """
    cosines = affine[:-1, :-1] / np.maximum(np.linalg.norm(affine[:-1, :-1], axis=0), np.finfo(float).tiny)
    order = max(permutations(range(len(cosines))), key=lambda p: sum(abs(cosines[i, a]) for i, a in enumerate(p)))
    return order, tuple(bool(cosines[i, a] < 0) for i, a in enumerate(order))


def reorient(array: Array, order: tuple[int, ...], flip: tuple[bool, ...]) -> Array:
    """(C, *S) with its spatial axes put in `order`, then those in `flip` reversed; a view."""
    moved = array.transpose(0, *(a + 1 for a in order))
    return moved[(slice(None), *(slice(None, None, -1 if f else 1) for f in flip))]


def reorient_back(array: Array, order: tuple[int, ...], flip: tuple[bool, ...]) -> Array:
    """The inverse of `reorient`; a view."""
    unflipped = array[(slice(None), *(slice(None, None, -1 if f else 1) for f in flip))]
    return unflipped.transpose(0, *(int(a) + 1 for a in np.argsort(order)))


def reoriented(affine: Array, shape: tuple[int, ...], order: tuple[int, ...], flip: tuple[bool, ...]) -> Array:
    """The affine of `reorient`'s result; `shape` is the spatial shape before it."""
    n = len(order)
    old_from_new = np.zeros((n + 1, n + 1))
    old_from_new[n, n] = 1
    for new, (old, turned) in enumerate(zip(order, flip, strict=True)):
        old_from_new[old, new] = -1 if turned else 1
        old_from_new[old, n] = shape[old] - 1 if turned else 0
    return np.asarray(affine @ old_from_new)


def cropped(affine: Array, start: tuple[int, ...]) -> Array:
    """The affine of image[start:]."""
    out = np.array(affine, np.float64)
    out[:-1, -1] += out[:-1, :-1] @ np.asarray(start, np.float64)
    return out


def resized(affine: Array, old: tuple[int, ...], new: tuple[int, ...]) -> Array:
    """The affine after `space.resample` brought shape `old` to `new`: the field of view stays, voxel centres move."""
    scale = np.divide(old, new)
    out = np.array(affine, np.float64)
    out[:-1, -1] += out[:-1, :-1] @ (scale / 2 - 0.5)
    out[:-1, :-1] *= scale
    return out
