"""A map of vectors over an image, and the search for a vector in it.

As in Adam, Fig. 5.1, a cell's vector is the embedding of the patch around its middle, not a cell of the network's own last
map: there the zeros that pad an image tell a network, even a random one, where a cell lies, and this passed for anatomy.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
PRODUCT = 2**23  # cosines that are looked through at once


@dataclass(frozen=True)
class Lattice:
    """Evenly spread cells over an image of `shape`: the middle of cell i is (i + 1/2) * shape / cells - 1/2, in voxels."""

    shape: tuple[int, ...]
    cells: tuple[int, ...]

    @classmethod
    def over(cls, shape: tuple[int, ...], along: int) -> "Lattice":
        """Nearly cubic cells, `along` of them on the shortest side."""
        side = min(shape) / along
        return cls(tuple(shape), tuple(max(1, round(s / side)) for s in shape))

    @property
    def side(self) -> Array:
        """(ndim,) of a cell, in voxels."""
        return np.asarray(np.array(self.shape) / np.array(self.cells))

    @property
    def affine(self) -> Array:
        """(ndim + 1, ndim + 1): cells to voxels."""
        return np.asarray(
            np.block([[np.diag(self.side), (self.side[:, None] - 1) / 2], [np.zeros(len(self.cells)), 1.0]])
        )

    @property
    def axes(self) -> list[Array]:
        """Of each axis, (cells along it,) the middles in voxels."""
        return [(np.arange(n) + 0.5) * side - 0.5 for n, side in zip(self.cells, self.side, strict=True)]

    @property
    def middles(self) -> Array:
        """(cells, ndim) voxel coordinates, last axis fastest."""
        return np.asarray(np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, len(self.cells)))

    def at(self, cells: NDArray[np.int64]) -> Array:
        """(N,) cells -> (N, ndim) their middles."""
        index = np.unravel_index(cells, self.cells)
        return np.asarray(np.stack([axis[i] for axis, i in zip(self.axes, index, strict=True)], axis=1))

    def nearest(self, points: Array) -> NDArray[np.int64]:
        """(N, ndim) voxels -> (N,) the cell that holds each, or the one nearest to it."""
        index = np.floor((points + 0.5) / self.side).astype(np.int64)
        index = np.clip(index, 0, np.array(self.cells) - 1)
        return np.asarray(np.ravel_multi_index(tuple(index.T), self.cells))


class Searched(Protocol):
    """A map in which vectors are sought."""

    @property
    def lattice(self) -> Lattice:
        """Where its cells lie."""
        ...

    def heat(self, wanted: Tensor, /) -> Tensor:
        """(N, D) of length 1 -> (N, cells): cosines."""
        ...


@dataclass(frozen=True, eq=False)
class Field:
    """vectors: (cells, D) of length 1, fp32. body: (cells,) whether a cell's patch is neither black nor flat."""

    lattice: Lattice
    vectors: Tensor
    body: NDArray[np.bool_]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Field":
        """Of an image that was not looked at everywhere: no cells."""
        return cls(Lattice(shape, (0,) * len(shape)), torch.empty(0, 0), np.empty(0, bool))

    def heat(self, wanted: Tensor) -> Tensor:
        """(N, D) of length 1 -> (N, cells): cosines."""
        return wanted @ self.vectors.T


@dataclass(frozen=True, eq=False)
class Peaks:
    """Where each of N searched vectors lies: places (N, ndim) in voxels, cosines (N,), and by how much the second-best
    place, further than the apart given, is worse (N,)."""

    places: Array
    cosines: Array
    margins: Array


def peaks(heat: Tensor, lattice: Lattice, apart: float, rng: np.random.Generator) -> Peaks:
    """(N, cells) cosines -> the highest of each, refined between cells by a parabola along each axis.

    apart: voxels; the second best is sought beyond. Equal maxima are drawn from by lot, so that a constant map points to
    a cell at random rather than always to the first one.
    """
    parts = max(1, PRODUCT // max(1, heat.shape[1]))  # of many vectors in many cells, so many at once
    found = [_peaks(heat[i : i + parts], lattice, apart, rng) for i in range(0, len(heat), parts)]
    return Peaks(
        *(np.concatenate([getattr(part, name) for part in found]) for name in ("places", "cosines", "margins"))
    )


def _peaks(heat: Tensor, lattice: Lattice, apart: float, rng: np.random.Generator) -> Peaks:
    values = heat.numpy().astype(np.float64)
    top = values.max(axis=1)
    best = values.argmax(axis=1)
    for row, ties in enumerate(values >= top[:, None] - 1e-7):
        if ties.sum() > 1:
            best[row] = rng.choice(np.flatnonzero(ties))
    middles = lattice.at(best)
    second = np.where(_further(middles, lattice, apart), values, -np.inf).max(axis=1)
    top = values[np.arange(len(values)), best]
    places = middles + _between(values, best, lattice) * lattice.side
    return Peaks(places, top, np.where(np.isfinite(second), top - second, 2.0))


def _further(places: Array, lattice: Lattice, apart: float) -> NDArray[np.bool_]:
    """(N, ndim) voxels -> (N, cells): whose middle is further off than `apart`; axis by axis, cells are many."""
    squares = np.zeros((len(places), *(1,) * len(lattice.cells)))
    for k, axis in enumerate(lattice.axes):
        shape = [len(places), *(len(axis) if i == k else 1 for i in range(len(lattice.cells)))]
        squares = squares + ((axis[None] - places[:, k : k + 1]) ** 2).reshape(shape)
    return np.asarray(squares.reshape(len(places), -1) > apart**2)


def _between(values: Array, best: NDArray[np.int64], lattice: Lattice) -> Array:
    """(N, ndim) in -1/2..1/2 of a cell: the top of the parabola through a maximum and its two neighbours on each axis."""
    maps = values.reshape(len(values), *lattice.cells)
    index = np.stack(np.unravel_index(best, lattice.cells), axis=1)
    rows = np.arange(len(values))
    offset = np.zeros(index.shape)
    for axis, n in enumerate(lattice.cells):
        inner = (index[:, axis] > 0) & (index[:, axis] < n - 1)
        step = np.eye(index.shape[1], dtype=int)[axis]
        before, at, after = (maps[(rows[inner], *(index[inner] + d * step).T)] for d in (-1, 0, 1))
        bend = before - 2 * at + after
        top = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
        offset[inner, axis] = np.clip(top, -0.5, 0.5)
    return offset
