"""From a body to a volume in HU, as a CT scanner gives it."""

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from vesalius.data.phantom.anatomy import Body
from vesalius.data.phantom.frame import STRUCTURES
from vesalius.data.phantom.pose import Pose
from vesalius.data.phantom.shapes import AIR, Floats, Grid, label, paint, texture

LOW, HIGH = np.array((-216.0, -132.0, -294.0)), np.array((216.0, 132.0, 162.0))  # world mm: the field of view
Voxel = TypeVar("Voxel", np.float32, np.uint8)


def affine(spacing: float) -> Floats:
    """(4, 4) voxel -> RAS+ mm at voxel centres."""
    matrix = np.diag((spacing, spacing, spacing, 1.0))
    matrix[:3, 3] = LOW + spacing / 2
    return matrix


def shape(spacing: float) -> tuple[int, int, int]:
    """Voxels along x, y, z."""
    nx, ny, nz = (int(n) for n in np.round((HIGH - LOW) / spacing))
    return nx, ny, nz


def volume(
    body: Body, pose: Pose, spacing: float, tissue: np.random.Generator, noise: np.random.Generator
) -> NDArray[np.int16]:
    """HU, (x, y, z) int16 in RAS+ order."""
    grid = _grid(body, pose, spacing)
    hu = _posed(paint(body.parts, grid, texture(grid, tissue, 10.0)), grid, pose, spacing, 1)
    hu += noise.uniform(6, 18) * noise.standard_normal(hu.shape, np.float32)
    return np.round(np.clip(hu, AIR - 24, 3000)).astype(np.int16)


def masks(body: Body, pose: Pose, spacing: float) -> NDArray[np.bool_]:
    """(K, x, y, z) of STRUCTURES."""
    grid = _grid(body, pose, spacing)
    labels = _posed(label(body.parts, grid), grid, pose, spacing, 0)
    return np.stack([labels > 0, *(labels == k for k in range(2, len(STRUCTURES) + 1))])


def _grid(body: Body, pose: Pose, spacing: float) -> Grid:
    low, high = pose.reach(tuple(np.maximum(-LOW, HIGH)), body.scale)
    return Grid.cover(low, high, (spacing,) * 3)


def _posed(painted: NDArray[Voxel], grid: Grid, pose: Pose, spacing: float, order: Literal[0, 1]) -> NDArray[Voxel]:
    """Voxels (nx, nz, ny) of the body's own frame -> (x, y, z) of the world's."""
    first = np.array((grid.x[0], grid.y[0], grid.z[0]))
    step = np.array((grid.x[1] - grid.x[0], grid.y[1] - grid.y[0], grid.z[1] - grid.z[0]))
    matrix = pose.turn.T * spacing / step[:, None]
    offset = (pose.body(affine(spacing)[:3, 3]) - first) / step
    body = np.ascontiguousarray(painted.transpose(0, 2, 1))
    posed: NDArray[Any] = np.asarray(
        affine_transform(body, matrix, offset, shape(spacing), order=order, mode="nearest")
    )
    return posed
