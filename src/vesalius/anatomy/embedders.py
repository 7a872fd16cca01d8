"""What makes a vector of a patch: an encoder, or one of the controls that say what a number is worth without it.

A control at random has the encoder's network and nothing learned; raw pixels have no network; coordinates have no pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vesalius import features
from vesalius.models.backbone import Backbone
from vesalius.views.crops import resize_axes

Array = NDArray[np.float64]
# Patches (N, C, *size) in 0..1 and their middles (N, ndim) in 0..1 of the image -> (N, D).
Embed = Callable[[Tensor, Array], Tensor]


def embedder(backbone: Backbone, batch: int = 64) -> Embed:
    """A backbone as a function of patches: mean over space of the coarsest level."""
    return lambda patches, _: features.pooled(backbone, patches, batch)


@dataclass(frozen=True)
class RawPixels:
    """The control that has learned nothing: the patch itself, shrunk to `size` px along each axis and mean-free."""

    size: int = 32

    def __call__(self, patches: Tensor, _: Array) -> Tensor:
        """(N, C, *S) -> (N, C * size ** ndim)."""
        flat = patches.flatten(0, 1)  # patches as channels: each axis is resized once for all
        small = resize_axes(flat, (self.size,) * (patches.ndim - 2))
        vectors = small.reshape(len(patches), -1)
        return vectors - vectors.mean(1, keepdim=True)


def coordinates(_: Tensor, places: Array) -> Tensor:
    """The control that sees only where: (N, ndim) in 0..1 -> (N, 2 * ndim), on a circle for each axis, so that cosine
    falls with distance. Its best match is the same place in the other image: it copies the coordinate."""
    return torch.from_numpy(np.concatenate([np.cos(places), np.sin(places)], axis=1)).float()


def unit(vectors: Tensor) -> Tensor:
    """(N, D) to length 1, in fp32; a vector of zeros stays, and has cosine 0 with all others."""
    return functional.normalize(vectors.float(), dim=1, eps=1e-30)
