"""To another shape: images antialiased, masks by the nearest voxel, points by the voxel-centre convention.

Along an axis of n voxels brought to m, voxel i is the interval [i, i + 1) and its centre i + 0.5: a point at old index
p moves to (p + 0.5) * m / n - 0.5, so that whatever lies at the centre of a structure stays there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def kernel(old: int, new: int) -> tuple[Array, Array]:
    """Taps and weights, both (new, K): output voxel i is the sum of weights[i] * line[taps[i]], weights summing to 1.

    Linear interpolation; when reducing, a triangle as wide as the output voxel, so that nothing aliases.
    """
    scale = old / new
    reach = max(scale, 1.0)
    centre = (np.arange(new)[:, None] + 0.5) * scale - 0.5
    taps = np.ceil(centre - reach).astype(np.int64) + np.arange(int(2 * reach) + 1)
    weights = np.maximum(0.0, 1.0 - np.abs(taps - centre) / reach) * ((taps >= 0) & (taps < old))
    return taps.clip(0, old - 1), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize(image: Array, shape: tuple[int, ...]) -> Array:
    """(C, *S) -> (C, *shape), antialiased, in the same dtype; integers are rounded, values stay in the image's range.

    2-D goes through Pillow (same weights, several times faster); computed in float32, or in 8 bits for uint8.
    """
    if image.shape[1:] == tuple(shape):
        return image
    if len(shape) == 2:
        return np.stack([_plane(channel, shape) for channel in image])
    out = image.astype(np.float32)
    for axis, side in enumerate(shape, start=1):
        if out.shape[axis] != side:
            out = _along(out, axis, side)
    return _as(out, image.dtype)


def _along(image: Array, axis: int, side: int) -> Array:
    taps, weights = kernel(image.shape[axis], side)
    column = (-1, *(1,) * (image.ndim - axis - 1))
    out = image.take(taps[:, 0], axis) * weights[:, 0].reshape(column)
    for tap, weight in zip(taps.T[1:], weights.T[1:], strict=True):
        out += image.take(tap, axis) * weight.reshape(column)
    return out


def _plane(plane: Array, shape: tuple[int, ...]) -> Array:
    picture = Image.fromarray(np.ascontiguousarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32)))
    return _as(np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)), plane.dtype)


def _as(values: Array, dtype: np.dtype[Any]) -> Array:
    if values.dtype == dtype or not np.issubdtype(dtype, np.integer):
        return np.ascontiguousarray(values, dtype)
    limits = np.iinfo(dtype)
    return np.rint(values).clip(limits.min, limits.max).astype(dtype)


def resize_mask(mask: Array, shape: tuple[int, ...]) -> Array:
    """(K, *S) -> (K, *shape): the nearest voxel for bool and integer labels; antialiased for floats (probabilities)."""
    if np.issubdtype(mask.dtype, np.floating):
        return resize(mask, shape)
    for axis, side in enumerate(shape, start=1):
        old = mask.shape[axis]
        if old != side:
            mask = mask.take(((2 * np.arange(side) + 1) * old) // (2 * side), axis=axis)
    return mask


def resize_points(points: Array, old: tuple[int, ...], new: tuple[int, ...]) -> Array:
    """(N, ndim) voxel coordinates in an image of shape `old` -> the same places in it at shape `new`, float64."""
    return np.asarray((np.asarray(points, np.float64) + 0.5) * np.divide(new, old) - 0.5)


def shape_at_spacing(shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...]) -> tuple[int, ...]:
    """The shape whose voxels come nearest to `target` mm over the same field of view; at least 1 a side."""
    return tuple(max(1, round(n * a / b)) for n, a, b in zip(shape, spacing, target, strict=True))


def short_side(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """`shape` with its shortest side brought to `size` and the aspect kept, to the nearest voxel; at least 1 a side."""
    return tuple(max(1, round(n * size / min(shape))) for n in shape)
