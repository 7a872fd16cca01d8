"""A vector sought at every voxel of a volume, without a vector for every voxel.

A voxel's vector is joined from the levels of a pyramid, level i at floor(voxel / stride_i). So its product with a sought
vector is a sum over levels, each computed on its own cells and then enlarged: of 1008 numbers at each of N voxels, the pyramid
keeps 21 N, and the sums are N. Its length follows in the same way. Maps are kept as float16, scaled to 1 at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius.anatomy.field import Lattice

Index = tuple[Tensor, ...]  # of each axis, where in the next map to look


@dataclass(frozen=True, eq=False)
class VoxelField:
    """lattice: the voxels at which is sought. levels: (C_i, *U_i) float16, of each level the cells that hold these voxels;
    scales: what they are to be multiplied by. index: from the lattice to the first level, from there to the next, ..."""

    lattice: Lattice
    levels: tuple[Tensor, ...]
    scales: tuple[float, ...]
    index: tuple[Index, ...]

    @classmethod
    def of(cls, pyramid: Sequence[Tensor], strides: Sequence[int], lattice: Lattice) -> "VoxelField":
        """[(C_i, *S_i), ...], finest first, each stride a multiple of the finer one; voxels nearest to the cells' middles."""
        voxels: list[NDArray[Any]] = [np.floor(axis + 0.5).astype(np.int64) for axis in lattice.axes]
        levels, scales, index = [], [], []
        for level, stride in zip(pyramid, strides, strict=True):
            step = []
            for axis, at in enumerate(voxels):
                cells, first, where = np.unique(at // stride, return_index=True, return_inverse=True)
                level = level.index_select(axis + 1, torch.from_numpy(cells))
                voxels[axis] = at[first]
                step.append(torch.from_numpy(where.reshape(-1)))
            scale = float(level.abs().max()) or 1.0
            levels.append((level / scale).half())
            scales.append(scale)
            index.append(tuple(step))
        return cls(lattice, tuple(levels), tuple(scales), tuple(index))

    def heat(self, wanted: Tensor) -> Tensor:
        """(N, D) of length 1 -> (N, cells): cosines with the joined vectors."""
        parts = torch.split(wanted, [len(level) for level in self.levels], dim=1)
        return (
            self._sum([part @ level.flatten(1) for part, level in zip(parts, self._maps(), strict=True)]) / self.lengths
        )

    @cached_property
    def lengths(self) -> Tensor:
        """(cells,) of the joined vectors."""
        squares = [level.square().sum(0).flatten()[None] for level in self._maps()]
        return self._sum(squares)[0].sqrt().clamp(min=1e-30)

    def level(self, k: int) -> "VoxelField":
        """One level alone."""
        way = self.index[0]
        for further in self.index[1 : k + 1]:
            way = tuple(b[a] for a, b in zip(way, further, strict=True))
        return VoxelField(self.lattice, self.levels[k : k + 1], self.scales[k : k + 1], (way,))

    def _maps(self) -> list[Tensor]:
        return [level.float() * scale for level, scale in zip(self.levels, self.scales, strict=True)]

    def _sum(self, products: Sequence[Tensor]) -> Tensor:
        """[(N, cells of a level), ...] -> (N, cells): each enlarged to the finer one and added to it."""
        total: Tensor | None = None
        for level, product, way in zip(reversed(self.levels), reversed(products), reversed(self.index), strict=True):
            own = product.view(len(product), *level.shape[1:])
            total = own if total is None else own + total
            for axis, where in enumerate(way):
                total = total.index_select(axis + 1, where)
        assert total is not None
        return total.flatten(1)
