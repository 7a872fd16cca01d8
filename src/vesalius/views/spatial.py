"""Augmentations of place: rotation and mirroring."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vesalius.views.augment import Augmentation, per_sample
from vesalius.views.parts import left_right

PLANES = {2: ((0, 1),), 3: ((1, 2), (0, 2), (0, 1))}  # ndim -> the axes (H, W) of the planes across each axis


@dataclass(frozen=True)
class Rotation(Augmentation):
    """About the centre by an angle uniform in [-degrees, degrees], always; zeros come in from outside.

    Adam's code: 30, "nearest" (torchvision's default). Positive is counter-clockwise in 2-D, rows running down. In 3-D the
    axis to turn about is drawn evenly from the three and the planes across it turn together, in voxels; about the second
    one, y, a frontal projection turns as in 2-D. Parameters: degrees, axis (0 in 2-D).
    """

    degrees: float = 30.0
    mode: Literal["bilinear", "nearest"] = "nearest"
    width = 2

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(2,)."""
        u, v = rng.random(2).tolist()
        return self.degrees * (2 * u - 1), int(3 * v) if ndim == 3 else 0

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Axis (B,), and how far the sampled place moves per column and per row, x and y in units of `grid_sample` (B, 2)."""
        axis = params[:, 1].long()
        sides = torch.tensor([[shape[1 + a] for a in plane] for plane in PLANES[len(shape) - 1]], device=params.device)
        scale = 2 / sides[axis].flip(1)  # x spans the width
        cos, sin = torch.cos(params[:, 0] * (math.pi / 180)), torch.sin(params[:, 0] * (math.pi / 180))
        return axis, torch.stack([cos, sin], 1) * scale, torch.stack([-sin, cos], 1) * scale

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        axes, per_column, per_row = terms
        if x.ndim == 4:
            return rotate_planes(x, per_column, per_row, self.mode)
        out = torch.empty_like(x)
        for axis in range(3):
            index = (axes == axis).nonzero().squeeze(1)
            planes = x[index].movedim(2 + axis, 2)  # the axis joins the channels: every plane across it turns alike
            turned = rotate_planes(planes.flatten(1, 2), per_column[index], per_row[index], self.mode)
            out[index] = turned.view(planes.shape).movedim(2, 2 + axis)
        return out


def rotate_planes(x: Tensor, per_column: Tensor, per_row: Tensor, mode: str) -> Tensor:
    """(B, C, H, W) sampled at places per_column (column - centre) + per_row (row - centre), zero outside.

    A place is a term of the column plus one of the row, so the grid costs one addition; x and y lie apart in memory, as
    `grid_sample` reads them fastest.
    """
    rows, columns = (from_centre(n, x.device) for n in x.shape[2:])
    grid = (per_column[:, :, None] * columns)[:, :, None, :] + (per_row[:, :, None] * rows)[..., None]  # (B, 2, H, W)
    return grid_sample(x, grid.permute(0, 2, 3, 1), mode=mode, padding_mode="zeros", align_corners=False)


@lru_cache(maxsize=64)
def from_centre(n: int, device: torch.device) -> Tensor:
    """(n,): 0 .. n - 1 less their mean."""
    return torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Left and right swapped with probability p (MoCo-v2: 0.5): columns in 2-D, x in 3-D. Parameter: 1 or 0."""

    p: float = 0.5
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(1,)."""
        return (float(rng.random() < self.p),)

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Whether, (B, 1, ..., 1)."""
        return (per_sample(params[:, 0] > 0, len(shape)),)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        return torch.where(terms[0], x.flip(2 + left_right(x.ndim - 2)), x)
