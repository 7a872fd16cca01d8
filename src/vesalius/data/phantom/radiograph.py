"""From a body to a radiograph: projection along parallel rays, then exposure."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from vesalius.data.phantom.anatomy import Body
from vesalius.data.phantom.exposure import expose
from vesalius.data.phantom.frame import STRUCTURES
from vesalius.data.phantom.pose import Pose
from vesalius.data.phantom.shapes import Floats, Grid, label, paint, texture

LAYER = 12.0  # mm of tissue between two samples along a ray; a part fills a voxel in proportion, so little is lost


def radiograph(
    body: Body, pose: Pose, size: int, tissue: np.random.Generator, beam: np.random.Generator
) -> NDArray[np.uint8]:
    """Grey (size, size) uint8, bone bright, head up, the patient's right on the left of the image."""
    grid = _grid(body, pose, size, LAYER)
    hu = paint(body.parts, grid, texture(grid, tissue, 10.0))
    hu /= 1000
    hu += 1
    return expose(project(hu, grid, pose, size), beam)


def shadows(body: Body, pose: Pose, size: int) -> NDArray[np.bool_]:
    """(K, size, size): where a ray meets each of STRUCTURES."""
    grid = _grid(body, pose, size, LAYER / 3)
    labels = label(body.parts, grid)
    masks = [labels > 0, *(labels == k for k in range(2, len(STRUCTURES) + 1))]
    return np.stack([project(mask, grid, pose, size, shadow=True) >= 0.5 for mask in masks])


def _grid(body: Body, pose: Pose, size: int, layer: float) -> Grid:
    """The part of the body that the detector sees, a voxel for a pixel."""
    low, high = pose.reach((pose.field / 2, 150.0, pose.field / 2), body.scale)
    pitch = pose.field / size
    return Grid.cover(low, high, (pitch, layer, pitch))


def project(
    volume: NDArray[np.floating] | NDArray[np.bool_], grid: Grid, pose: Pose, size: int, shadow: bool = False
) -> NDArray[np.float32]:
    """Line integrals, (size, size) in units x mm, of a volume (nx, nz, ny) along the rays of a posed detector.

    With `shadow`, the largest value met on the way instead. Layers are gathered into a few slabs, each of which is
    shifted as its depth demands and laid on the detector: exact for the turn, first order within a slab.
    """
    plane = np.linalg.inv(pose.turn[np.ix_((0, 2), (0, 2))])
    pitch = pose.field / size
    step = np.array((grid.x[1] - grid.x[0], grid.z[1] - grid.z[0]))
    drift = float(np.linalg.norm(plane @ pose.turn[[0, 2], 1])) * (grid.y[-1] - grid.y[0]) / float(step.min())
    nodes = np.linspace(grid.y[0], grid.y[-1], max(round(drift), 2))  # about one pixel of drift from slab to slab
    away = np.abs(grid.y[:, None] - nodes) / (nodes[1] - nodes[0])
    matrix = plane @ np.array(((0.0, -pitch), (-pitch, 0.0))) / step[:, None]
    corner = np.full(2, (size - 1) / 2 * pitch) - pose.shift[[0, 2]]
    first = np.array((grid.x[0], grid.z[0])) - pose.centre[[0, 2]]
    if shadow:
        slabs = np.stack([volume[:, :, away[:, k] <= 0.5].any(-1) for k in range(len(nodes))]).astype(np.float32)
    else:
        weights = np.maximum(1 - away, 0) * (grid.y[1] - grid.y[0]) / pose.turn[1, 1]
        slabs = np.ascontiguousarray(
            np.moveaxis(volume.astype(np.float32, copy=False) @ weights.astype(np.float32), -1, 0)
        )
    drifts = (plane @ pose.turn[[0, 2], 1])[None] * (nodes - pose.centre[1])[:, None] / step
    shifted = _gather(slabs, drifts, shadow)
    offset = (plane @ corner - first) / step
    return np.asarray(affine_transform(shifted, matrix, offset, (size, size), order=1, mode="nearest"))


def _gather(slabs: NDArray[np.float32], drifts: Floats, shadow: bool) -> NDArray[np.float32]:
    """Slabs (k, nx, nz) -> (nx, nz), their sum or largest value, each read bilinearly at index - drift, (k, 2)."""
    _, nx, nz = slabs.shape
    margin = int(np.ceil(np.abs(drifts).max())) + 1
    wide = np.pad(slabs, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    whole = np.floor(-drifts).astype(int)
    part = (-drifts - whole).astype(np.float32)
    total = np.zeros((nx, nz), np.float32)
    for slab, (i, k), (u, v) in zip(wide, whole + margin, part, strict=True):
        rows = (1 - u) * slab[i : i + nx] + u * slab[i + 1 : i + 1 + nx]
        here = (1 - v) * rows[:, k : k + nz] + v * rows[:, k + 1 : k + 1 + nz]
        total = np.maximum(total, here) if shadow else total + here
    return total
