"""Two patches of a scan that share a voxel of the body, and the voxels of the body that they share (vox2vec, arXiv 2307.14725).

Neither patch is scaled, turned or flipped, so a voxel's place in a patch is its place in the scan less the patch's start.
Along an axis on which the scan is shorter than the patch, the patch holds all of the scan and then padding: air where the
unit is HU, else 0. No voxel of the padding is ever one of the shared.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesalius.space.box import Box
from vesalius.views.crops import Readable

AIR = -1000.0  # HU
Numbers = NDArray[Any]


class Embodied(Readable, Protocol):
    """What a pair needs of a cached scan."""

    @property
    def unit(self) -> str:
        """Of the stored values."""
        ...

    def body(self, box: Box | None = None) -> NDArray[Any]:
        """(*box.shape) bool: True in the body."""
        ...

    def sample_body_voxel(self, rng: np.random.Generator) -> tuple[int, ...]:
        """(ndim,) One of the body's voxels, all equally likely."""
        ...


def overlapping_pair(rng: np.random.Generator, scan: Embodied, patch: tuple[int, ...], most: int) -> dict[str, Numbers]:
    """Two patches around one body voxel, and at most `most` voxels that they share, drawn without replacement.

    pixels (2, C, *patch) as stored; voxels (2, most, ndim) int32, row i the same voxel in either patch, of which the first
    `count` are true and the rest 0; inside () float32, the share of the patches that is scan, 1 without padding.
    """
    anchor = scan.sample_body_voxel(rng)
    boxes = [box_around(rng, anchor, scan.shape, patch) for _ in range(2)]
    shared = shared_voxels(rng, scan, boxes, most)
    voxels = np.zeros((2, most, len(patch)), np.int32)
    voxels[:, : len(shared)] = [shared - np.array(box.start) for box in boxes]
    inside = np.array(boxes[0].size / Box.whole(patch).size, np.float32)
    pixels = np.stack([read_padded(scan, box, patch) for box in boxes])
    return {"pixels": pixels, "voxels": voxels, "count": np.array(len(shared)), "inside": inside}


def box_around(rng: np.random.Generator, voxel: tuple[int, ...], shape: tuple[int, ...], patch: tuple[int, ...]) -> Box:
    """A box of `patch` voxels, any of those within `shape` that hold `voxel` as likely as another; smaller if it must be."""
    sides = tuple(map(min, patch, shape))
    start = tuple(max(0, v - side + 1) for v, side in zip(voxel, sides, strict=True))
    stop = tuple(min(n, v + side) for v, side, n in zip(voxel, sides, shape, strict=True))
    return Box(start, stop).place(rng, sides)


def shared_voxels(rng: np.random.Generator, scan: Embodied, boxes: Sequence[Box], most: int) -> NDArray[np.int64]:
    """(n, ndim): body voxels of the scan in both boxes, in no order; if there are more than `most`, any so many of them."""
    both = boxes[0].intersect(boxes[1])
    places = np.flatnonzero(scan.body(both))
    if len(places) > most:
        places = rng.choice(places, most, replace=False, shuffle=False)
    shared: NDArray[np.int64] = np.stack(np.unravel_index(places, both.shape), 1) + np.array(both.start)
    return shared


def read_padded(scan: Embodied, box: Box, patch: tuple[int, ...]) -> Numbers:
    """(C, *patch): the voxels of `box`, and padding after them where it is smaller."""
    pixels = scan.read(box)
    if box.shape == patch:
        return pixels
    after = [(0, whole - side) for whole, side in zip(patch, box.shape, strict=True)]
    return np.pad(pixels, [(0, 0), *after], constant_values=AIR if scan.unit == "HU" else 0)
