"""Batched augmentations of place: rotation and mirroring."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from vesalius.views.intensity import per_sample
from vesalius.views.parts import left_right


@dataclass(frozen=True)
class Rotation:
    """About the centre by an angle uniform in [-degrees, degrees], always; bilinear, zeros come in from outside.

    Adam's code: +-30. Counter-clockwise is positive in 2-D, rows running down. In 3-D the axis to turn about is drawn
    evenly from the three and the planes across it turn together, in voxels. Parameters: degrees, axis (0 in 2-D).
    """

    degrees: float = 30.0
    width = 2

    def draw(self, rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
        """(2,) float32."""
        u, v = rng.random(2).tolist()
        return np.array((self.degrees * (2 * u - 1), int(3 * v) if ndim == 3 else 0), np.float32)

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S), (B, 2) -> (B, C, *S)."""
        degrees, axes = params.unbind(1)
        if x.ndim == 4:
            return rotate_plane(x, degrees)
        out = torch.empty_like(x)
        for axis in range(3):
            index = (axes == axis).nonzero().squeeze(1)
            planes = x[index].movedim(2 + axis, 2)  # the axis joins the channels: every plane across it turns alike
            turned = rotate_plane(planes.flatten(1, 2), degrees[index]).view(planes.shape)
            out[index] = turned.movedim(2, 2 + axis)
        return out


def rotate_plane(x: Tensor, degrees: Tensor) -> Tensor:
    """(B, C, H, W) turned counter-clockwise by (B,) degrees about its centre, bilinear, zero outside.

    With z = column + i row (from the centre, rows running down) the pixel at z comes from z exp(i angle); that is a sum of
    a term of the column and one of the row, so the grid of B x H x W places costs one addition.
    """
    height, width = x.shape[2:]
    cos, sin = torch.cos(degrees * (math.pi / 180)), torch.sin(degrees * (math.pi / 180))
    columns = torch.complex(cos * (2 / width), sin * (2 / height))[:, None] * _from_centre(width, x)
    rows = torch.complex(-sin * (2 / width), cos * (2 / height))[:, None] * _from_centre(height, x)
    grid = torch.view_as_real(columns[:, None, :] + rows[:, :, None])
    return grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _from_centre(n: int, like: Tensor) -> Tensor:
    return torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2


@dataclass(frozen=True)
class HorizontalFlip:
    """Left and right swapped with probability p (MoCo-v2: 0.5): columns in 2-D, x in 3-D. Parameter: 1 or 0."""

    p: float = 0.5
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
        """(1,) float32."""
        return np.array([rng.random() < self.p], np.float32)

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S), (B, 1) -> (B, C, *S)."""
        mirrored = x.flip(2 + left_right(x.ndim - 2))
        return torch.where(per_sample(params[:, 0] > 0, x), mirrored, x)
