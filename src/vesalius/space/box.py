"""A box of voxels in any number of dimensions."""

import math
from dataclasses import dataclass
from operator import le

import numpy as np


@dataclass(frozen=True, slots=True)
class Box:
    """Voxels from `start` up to, not including, `stop`, along each axis."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> "Box":
        """The box of an image of `shape` voxels (no channel axis)."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of voxels; 0 where any side is empty."""
        return math.prod([max(side, 0) for side in self.shape])

    @property
    def slices(self) -> tuple[slice, ...]:
        """For numpy: image[..., *box.slices]."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def halve(self, axis: int) -> tuple["Box", "Box"]:
        """The two halves along `axis`; where its side is odd, the second half is one voxel longer."""
        middle = self.start[axis] + self.shape[axis] // 2
        return (
            Box(self.start, (*self.stop[:axis], middle, *self.stop[axis + 1 :])),
            Box((*self.start[:axis], middle, *self.start[axis + 1 :]), self.stop),
        )

    def intersect(self, other: "Box") -> "Box":
        """The voxels in both; of size 0 where there are none."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(s, min(a, b)) for s, a, b in zip(start, self.stop, other.stop, strict=True))
        return Box(start, stop)

    def iou(self, other: "Box") -> float:
        """Intersection over union of the voxels, 0..1."""
        shared = self.intersect(other).size
        return shared / (self.size + other.size - shared)

    def contains(self, other: "Box") -> bool:
        """Whether every voxel of `other` is in this box."""
        return all(map(le, self.start, other.start)) and all(map(le, other.stop, self.stop))

    def place(self, rng: np.random.Generator, shape: tuple[int, ...]) -> "Box":
        """A box of `shape` at a uniformly random place inside this one; ValueError where it does not fit."""
        start = tuple(
            int(rng.integers(a, b - side + 1)) for a, b, side in zip(self.start, self.stop, shape, strict=True)
        )
        return Box(start, tuple(a + side for a, side in zip(start, shape, strict=True)))

    def array(self) -> np.ndarray:
        """(2 * ndim,) int32: start, then stop."""
        return np.array((*self.start, *self.stop), np.int32)
