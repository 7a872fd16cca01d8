"""What makes a vector of a place: an encoder, or one of the controls that say what a number is worth without it.

A control at random has the encoder's network and nothing learned; raw pixels have no network; coordinates have no pixels:
those of the place in the image (of the body's box, where preparation cropped to the body), and those of the scanner.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vesalius import features
from vesalius.errors import DataError
from vesalius.features.subjects import Subject
from vesalius.models.backbone import Backbone
from vesalius.space.warp import move
from vesalius.views.crops import resize_axes

Array = NDArray[np.float64]
# Patches (N, C, *size) in 0..1 and their middles (N, ndim) in 0..1 of the image -> (N, D).
Embed = Callable[[Tensor, Array], Tensor]


@dataclass(frozen=True, eq=False)
class VoxelVectors:
    """A backbone that gives each voxel a vector of its own, from all levels of its pyramid: no patches are cut."""

    backbone: Backbone


def embedder(backbone: Backbone, batch: int = 64) -> Embed:
    """A backbone as a function of patches: mean over space of the coarsest level."""
    return lambda patches, _: features.pooled(backbone, patches, batch)


@dataclass(frozen=True)
class RawPixels:
    """The control that has learned nothing: the patch itself, shrunk to about `pixels` in all, and mean-free."""

    pixels: int = 1024  # 32 a side; of a volume, 10

    def __call__(self, patches: Tensor, _: Array) -> Tensor:
        """(N, C, *S) -> (N, C * side ** ndim)."""
        flat, ndim = patches.flatten(0, 1), patches.ndim - 2  # patches as channels: each axis is resized once for all
        small = resize_axes(flat, (round(self.pixels ** (1 / ndim)),) * ndim)
        vectors = small.reshape(len(patches), -1)
        return vectors - vectors.mean(1, keepdim=True)


def coordinates(_: Tensor, places: Array) -> Tensor:
    """The control that sees only where: (N, ndim) in 0..1 -> (N, 2 * ndim), on a circle for each axis, so that cosine
    falls with distance. Its best match is the same place in the other image: it copies the coordinate."""
    return torch.from_numpy(np.concatenate([np.cos(places), np.sin(places)], axis=1)).float()


@dataclass(frozen=True)
class Placed:
    """The controls that see only where, and need no patches: `coordinates` of the place in the image, or in the scanner, in
    mm: how far do patients lie alike?"""

    scanner: bool = False
    reach: float = 1000.0  # mm on which the circle's angle goes from 0 to 1

    def at(self, subject: Subject, points: Array) -> Tensor:
        """(N, ndim) voxels -> (N, 2 * ndim). DataError: the image does not say where it lay."""
        if not self.scanner:
            return coordinates(torch.empty(0), (points + 0.5) / np.array(subject.shape))
        if subject.affine is None:
            raise DataError("does not say where it lay in the scanner", file=subject.id)
        return coordinates(torch.empty(0), move(subject.affine[:-1], points) / self.reach)


def unit(vectors: Tensor) -> Tensor:
    """(N, D) to length 1, in fp32; a vector of zeros stays, and has cosine 0 with all others."""
    return functional.normalize(vectors.float(), dim=1, eps=1e-30)
