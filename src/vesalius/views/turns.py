"""PCRL's context transformation (Zhou et al., ICCV 2021): a flip along each axis, and a turn by quarters."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vesalius.views.augment import Augmentation, replace


@dataclass(frozen=True)
class FlipsAndTurn(Augmentation):
    """A flip along each spatial axis with probability p, then 0 to 3 quarters of a turn in the plane of the first two axes.

    As numpy's `flip` and `rot90`, voxel for voxel; the first two sides must be equal. Parameters: 1 or 0 for each of three
    axes (in 2-D the third is 0), and the number of quarters, drawn evenly.
    """

    p: float = 0.5
    social = True
    width = 4

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(4,)."""
        *flips, quarters = rng.random(4).tolist()
        return *(float(axis < ndim and u < self.p) for axis, u in enumerate(flips)), float(int(4 * quarters))

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The parameters, (B, 4)."""
        return (params,)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        *flips, quarters = terms[0].T.tolist()
        for axis, chosen in enumerate(flips[: x.ndim - 2], 2):
            x = replace(x, [on > 0 for on in chosen], partial(torch.flip, dims=(axis,)))
        for n in (1, 2, 3):
            x = replace(x, [number == n for number in quarters], partial(torch.rot90, k=n, dims=(2, 3)))
        return x


def as_vector(params: Tensor, ndim: int) -> Tensor:
    """(B, 4) parameters of `FlipsAndTurn` -> a (B, ndim + 4): 1 or 0 for each flip, then one of four for the turn."""
    return torch.cat([params[:, :ndim], one_hot(params[:, 3].long(), 4).to(params)], 1)
