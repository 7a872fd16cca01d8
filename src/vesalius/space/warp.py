"""Affine motions of an image and of points in it: a matrix (ndim, ndim + 1) takes voxel coordinates to voxel coordinates."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Matrix = NDArray[np.float64]


def about_centre(linear: ArrayLike, shift: ArrayLike, shape: tuple[int, ...]) -> Matrix:
    """(ndim, ndim) and (ndim,) voxels -> the motion p -> linear (p - c) + c + shift, with c the middle of the image."""
    a, centre = np.asarray(linear, np.float64), (np.array(shape) - 1) / 2
    return np.concatenate([a, (centre + np.asarray(shift, np.float64) - a @ centre)[:, None]], axis=1)


def move(matrix: Matrix, points: ArrayLike) -> NDArray[np.float64]:
    """(N, ndim) -> (N, ndim)."""
    return np.asarray(points, np.float64) @ matrix[:, :-1].T + matrix[:, -1]


def inverse(matrix: Matrix) -> Matrix:
    """The motion back. numpy.linalg.LinAlgError where there is none."""
    linear = np.linalg.inv(matrix[:, :-1])
    return np.concatenate([linear, -linear @ matrix[:, -1:]], axis=1)


def warp(image: Array, matrix: Matrix, shape: tuple[int, ...] | None = None, order: Literal[0, 1] = 1) -> Array:
    """(C, *S) -> (C, *shape) in the same type: what lay at p lies at `matrix` p; zeros come in from outside.

    order 1 is linear, 0 takes the nearest voxel (masks). shape: that of the image by default.
    """
    from scipy.ndimage import affine_transform  # heavy: not at import

    back = inverse(matrix)
    size = tuple(image.shape[1:] if shape is None else shape)
    moved: Any = affine_transform
    planes = [moved(plane, back[:, :-1], back[:, -1], size, order=order) for plane in image]
    return np.stack(planes) if planes else np.zeros((0, *size), image.dtype)


def axis_rotation(degrees: float, axis: int, ndim: int) -> NDArray[np.float64]:
    """(ndim, ndim): in 2-D a turn of rows towards columns; in 3-D of the plane across `axis`, its first axis to its second."""
    i, j = (0, 1) if ndim == 2 else tuple(a for a in range(3) if a != axis)
    turn = np.eye(ndim)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn[i, i], turn[i, j], turn[j, i], turn[j, j] = cos, -sin, sin, cos
    return turn


def fit_affine(source: ArrayLike, target: ArrayLike) -> Matrix:
    """(..., N, ndim) points and where they go -> (..., ndim, ndim + 1): the affine motion of least squares.

    Batched over leading axes. Of points in one line (plane), the smallest such motion.
    """
    p, q = np.asarray(source, np.float64), np.asarray(target, np.float64)
    with_one = np.concatenate([p, np.ones((*p.shape[:-1], 1))], axis=-1)
    return np.asarray(np.swapaxes(np.linalg.pinv(with_one) @ q, -1, -2))
