"""An image as an encoder sees it: vectors at points, a map of them, and a map in which a vector is sought.

Two kinds. An encoder of patches gives a vector of the patch around a point, one pass each. An encoder of voxels (vox2vec's
pyramid) is shown the whole image once, and gives each voxel a vector: all levels joined. Its borders are padded with zeros,
which tell a network, also a random one, where the image ends: read it beside the control with random weights.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vesalius import features
from vesalius.anatomy.embedders import Embed, Placed, VoxelVectors, unit
from vesalius.anatomy.field import Field, Lattice, Searched
from vesalius.anatomy.voxelfield import VoxelField
from vesalius.features.subjects import Subject
from vesalius.models.backbone import Backbone

if TYPE_CHECKING:
    from vesalius.anatomy.observe import Config

Array = NDArray[np.float64]
BLACK, FLAT = 0.05, 0.02  # mean and standard deviation of a patch that shows nothing


class Sight(Protocol):
    """One image through one encoder."""

    def at(self, points: Array, /) -> Tensor:
        """(N, ndim) voxels -> (N, D) of length 1."""
        ...

    def field(self) -> Field:
        """A coarse map: vectors of cells, to be matched with those of another image."""
        ...

    def fine(self) -> Searched | None:
        """A map at voxels, in which landmarks are sought; None where a pass for each would be needed."""
        ...


def sight(embed: Embed | VoxelVectors | Placed, subject: Subject, image: Tensor, config: "Config") -> Sight:
    """(C, *S) in 0..1, of `subject` under some motion -> how it is seen."""
    if isinstance(embed, VoxelVectors):
        return Voxels(embed.backbone, image, config)
    return Places(embed, subject, image, config) if isinstance(embed, Placed) else Patches(embed, image, config)


@dataclass(frozen=True, eq=False)
class Patches:
    """Through an encoder of patches."""

    embed: Embed
    image: Tensor
    config: "Config"

    def at(self, points: Array) -> Tensor:
        """(N, ndim) voxels -> (N, D) of length 1."""
        return vectors_at(self.embed, self.image, points, self.config)[0]

    def field(self) -> Field:
        """Of the patches around the middles of cells."""
        lattice = Lattice.over(tuple(self.image.shape[1:]), self.config.grid)
        middles, step = lattice.middles, self.config.batch
        vectors, body = [], []
        for start in range(0, len(middles), step):
            found, cut = vectors_at(self.embed, self.image, middles[start : start + step], self.config)
            vectors.append(found)
            flat = cut.flatten(1)
            body.append((flat.mean(1) > BLACK) & (flat.std(1) > FLAT))
        return Field(lattice, torch.cat(vectors), torch.cat(body).numpy())

    def fine(self) -> Searched | None:
        """None: a pass for each voxel is too much."""
        return None


@dataclass(frozen=True, eq=False)
class Voxels:
    """Through an encoder of voxels."""

    backbone: Backbone
    image: Tensor
    config: "Config"

    @cached_property
    def pyramid(self) -> list[Tensor]:
        """[(C_i, *S_i), ...] of the whole image."""
        return features.pyramid(self.backbone, self.image)

    def at(self, points: Array) -> Tensor:
        """(N, ndim) voxels -> (N, D) of length 1: all levels at the nearest voxel, joined."""
        return unit(features.look_up(self.backbone, [level[None] for level in self.pyramid], points))

    def field(self) -> Field:
        """Of the voxels in the middles of cells."""
        lattice = Lattice.over(tuple(self.image.shape[1:]), self.config.grid)
        return Field(lattice, self.at(lattice.middles), shown(self.image, lattice))

    def fine(self) -> Searched | None:
        """Every voxel, or `config.fine` cells along the short side."""
        lattice = finest(tuple(self.image.shape[1:]), self.config.fine)
        return VoxelField.of(self.pyramid, self.backbone.strides, lattice)


@dataclass(frozen=True, eq=False)
class Places:
    """Without looking, but to tell the body from the air."""

    embed: Placed
    subject: Subject
    image: Tensor
    config: "Config"

    def at(self, points: Array) -> Tensor:
        """(N, ndim) voxels -> (N, D) of length 1."""
        return unit(self.embed.at(self.subject, points))

    def field(self) -> Field:
        """Of the middles of cells."""
        lattice = Lattice.over(tuple(self.image.shape[1:]), self.config.grid)
        return Field(lattice, self.at(lattice.middles), shown(self.image, lattice))

    def fine(self) -> Searched | None:
        """As fine as an encoder of voxels is searched; at the rim of a coarse map a copied place would be half a cell off."""
        return Copied(self, finest(self.subject.shape, self.config.fine))


@dataclass(frozen=True, eq=False)
class Copied:
    """A map of places, made when it is searched."""

    places: Places
    lattice: Lattice

    def heat(self, wanted: Tensor) -> Tensor:
        """(N, D) of length 1 -> (N, cells): cosines."""
        return wanted @ self.places.at(self.lattice.middles).T


def finest(shape: tuple[int, ...], fine: int) -> Lattice:
    """Every voxel, or `fine` cells along the short side where that is not 0."""
    return Lattice.over(shape, fine) if 0 < fine < min(shape) else Lattice(shape, shape)


def shown(image: Tensor, lattice: Lattice) -> NDArray[np.bool_]:
    """(C, *S) in 0..1 -> (cells,): which cells are neither black nor flat."""
    shrink: Any = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}[len(lattice.shape)]
    mean, square = (shrink(values[None], lattice.cells)[0].mean(0).flatten() for values in (image, image**2))
    return np.asarray(((mean > BLACK) & ((square - mean**2).clamp(min=0).sqrt() > FLAT)).numpy())


def vectors_at(embed: Embed, image: Tensor, points: Array, config: "Config") -> tuple[Tensor, Tensor]:
    """(C, *S) and (N, ndim) voxels -> (N, D) of length 1, and the patches of `config.side` (N, C, *size)."""
    places = np.asarray((points + 0.5) / np.array(image.shape[1:]))
    cuts = [features.patches(image, points, side, config.size) for side in (config.side, *config.wider)]
    vectors = [unit(embed(cut, places)) for cut in cuts]
    return (unit(torch.cat(vectors, 1)) if config.wider else vectors[0]), cuts[0]
