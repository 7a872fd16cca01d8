"""Augmentations of place: rotation, scaling and mirroring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vesalius.views.augment import Augmentation, each, per_sample, replace
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
class Affine(Augmentation):
    """About the centre, always: each axis scaled by a factor uniform in `scale` (over 1: larger), then turned by angles uniform
    in [-degrees, degrees], in 3-D across each axis in turn, the last first (torchio's RandomAffine; PCRLv2: 0.9-1.1, 10).

    Linear; the sample's least value comes in from outside, at once where torchio repeats the edge for half a voxel. Parameters:
    three factors, three angles in degrees (2-D: two, one).
    """

    scale: tuple[float, float] = (0.9, 1.1)
    degrees: float = 10.0
    social = True
    width = 6

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(6,)."""
        *u, a, b, c = rng.random(6).tolist()
        factors = [self.scale[0] + (self.scale[1] - self.scale[0]) * v if i < ndim else 1.0 for i, v in enumerate(u)]
        return *factors, *(self.degrees * (2 * v - 1) if i == 0 or ndim == 3 else 0.0 for i, v in enumerate((a, b, c)))

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """For each axis k of n voxels, (B, ndim, n): what voxel i of it adds to each coordinate of the place sampled."""
        ndim = len(shape) - 1
        back = torch.diag_embed(1 / params[:, :ndim])
        angles = params[:, 3:] * (math.pi / 180)
        for axis in reversed(range(3 if ndim == 3 else 1)):
            back = back @ turn(-angles[:, axis], axis, ndim)
        centre = params.new_tensor([(n - 1) / 2 for n in shape[1:]])
        lines = [back[:, :, k, None] * from_centre(n, params.device) for k, n in enumerate(shape[1:])]
        return lines[0] + centre[:, None], *lines[1:]

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S), within each sample's range, out of which weights that are rounded would lead."""
        flat = x.flatten(1)
        least, most = each(flat.amin(1), x.ndim), each(flat.amax(1), x.ndim)  # apart: aminmax is not vectorised
        return sample_linear(x, least, terms).clamp_(least, most)  # type: ignore[arg-type]  # both tensors or both numbers


def turn(angle: Tensor, axis: int, ndim: int) -> Tensor:
    """(B,) radians -> (B, ndim, ndim): as `space.warp.axis_rotation`."""
    i, j = (0, 1) if ndim == 2 else tuple(a for a in range(3) if a != axis)
    matrix = torch.eye(ndim, device=angle.device).repeat(len(angle), 1, 1)
    matrix[:, i, i] = matrix[:, j, j] = torch.cos(angle)
    matrix[:, j, i] = torch.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def sample_linear(x: Tensor, outside: Tensor | float, lines: Sequence[Tensor]) -> Tensor:
    """(B, C, *S) at affine places: coordinate r is the sum over axes k of lines[k][:, r] (B, n_k). `outside` around it.

    Linear, also between the last voxel and outside. In 3-D the planes across the first axis lie one below the other in a
    long image; `grid_sample` in 2-D, which is vectorised, reads it, and as a second channel the image one plane further
    down: a third of the time of `grid_sample` in 3-D. Its coordinates are rounded to 0.001 of a voxel, or finer.
    """
    padded = padded_with(x, outside)
    batch, channels, *planes, height, width = padded.shape
    rows = height * (planes[0] - 1 if planes else 1)
    grid = x.new_empty(batch, 2, *x.shape[2:])
    grid[:, 0] = places(lines, len(lines) - 1, x.shape[-1], 2 / width)
    grid[:, 1] = places(lines, len(lines) - 2, x.shape[-2], 2 / rows)
    if not planes:
        return grid_sample(padded, grid.permute(0, 2, 3, 1), align_corners=False)
    plane = places(lines, 0, x.shape[2])
    whole = plane.floor()
    grid[:, 1].add_(whole, alpha=2 * height / rows)
    fraction = plane.sub_(whole)
    flat = grid.view(batch, 2, -1, x.shape[-1]).permute(0, 2, 3, 1)
    strides = padded.stride()
    both = padded.as_strided((batch, channels, 2, rows, width), (*strides[:3], width, 1))
    out = torch.empty_like(x)
    for channel in range(channels):
        near, far = grid_sample(both[:, channel], flat, align_corners=False).unbind(1)
        torch.lerp(near.view(plane.shape), far.view(plane.shape), fraction, out=out[:, channel])
    return out


def padded_with(x: Tensor, value: Tensor | float) -> Tensor:
    """(B, C, *S) -> (B, C, *(S + 3)): a voxel before and two after, of a value for all or for each sample (B, 1, ..., 1)."""
    padded = x.new_empty(*x.shape[:2], *(n + 3 for n in x.shape[2:]))
    padded[:] = value
    padded[:, :, *(slice(1, 1 + n) for n in x.shape[2:])] = x
    return padded


def places(lines: Sequence[Tensor], axis: int, n: int, scale: float = 0.0) -> Tensor:
    """(B, *S): coordinates on an axis of n voxels, in the padded image and clamped to it; with `scale`, as of `grid_sample`."""
    low, high = (scale * (p + 0.5) - 1 if scale else p for p in (0, n + 1))
    place = lines[0][:, axis]
    place = place * scale + (1.5 * scale - 1) if scale else place + 1
    for line in lines[1:]:
        line = line[:, axis] * (scale or 1)
        place = place[..., None] + line.view(len(line), *(1,) * (place.ndim - 1), -1)
    return place.clamp_(low, high)


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Left and right swapped with probability p (MoCo-v2: 0.5): columns in 2-D, x in 3-D. Parameter: 1 or 0."""

    p: float = 0.5
    social = True
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(1,)."""
        return (float(rng.random() < self.p),)

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Whether, (B, 1, ..., 1)."""
        return (per_sample(params[:, 0] > 0, len(shape)),)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        axis = 2 + left_right(x.ndim - 2)
        return replace(x, terms[0].flatten().tolist(), lambda chosen: chosen.flip(axis))
