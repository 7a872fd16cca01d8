"""Augmentations that move, hide or mix patches, for a network to put back: swap, cut-out, painting, local shuffle.

Places are drawn as shares of the room there is, so that a draw knows nothing of the image; what is random by the voxel comes
from a seed of the sample's own.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vesalius.views.augment import Augmentation
from vesalius.views.hounsfield import SEEDS

GREY = 0.449  # mean of ImageNet's three channels: what cut-outs of images in 0..1 are filled with


@dataclass(frozen=True)
class SwapPatches(Augmentation):
    """`times` times, one after the other, two patches of `side` voxels anywhere change places (torchio's RandomSwap).

    Where the two overlap, the place of the second shows all of the first. 2-D takes the first two sides. Parameters: the
    places of both, in 0..1 of the room on three axes.
    """

    side: tuple[int, ...] = (8, 4, 4)
    times: int = 100

    @property
    def width(self) -> int:
        """Two places each time."""
        return 6 * self.times

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(6 times,)."""
        return tuple(rng.random(self.width).tolist())

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The first voxels of both patches each time, (B, times, 2, ndim)."""
        sides = params.new_tensor(fitting(self.side, shape))
        return (corners(params.view(len(params), self.times, 2, 3), sides, shape),)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S), in place."""
        swap = swap_slices if x.device.type == "cpu" else swap_gathered
        return swap(x, terms[0], fitting(self.side, tuple(x.shape[1:])))


def swap_slices(x: Tensor, places: Tensor, sides: tuple[int, ...]) -> Tensor:
    """(B, C, *S), (B, times, 2, ndim) -> x with its patches swapped: in numpy, which is far faster on small slices."""
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x.numpy(), sides, axes, writeable=True).swapaxes(0, 1)
    for sample, swaps in zip(np.moveaxis(windows, 0, x.ndim - 1), places.tolist(), strict=True):
        for one, other in swaps:
            first, second = sample[*one], sample[*other]
            kept = first.copy()
            first[...] = second  # numpy sees to overlap
            second[...] = kept
    return x


def swap_gathered(x: Tensor, places: Tensor, sides: tuple[int, ...]) -> Tensor:
    """`swap_slices` where a batch is better moved at once: 4 x times operations, however large the batch."""
    flat = x.flatten(2)
    strides = [int(np.prod(x.shape[3 + axis :])) for axis in range(len(sides))]
    within = torch.cartesian_prod(*(torch.arange(side, device=x.device) for side in sides)).view(-1, len(sides))
    weights = torch.tensor(strides, device=x.device)
    voxels = (places * weights).sum(3, keepdim=True) + (within * weights).sum(1)  # (B, times, 2, voxels of a patch)
    for first, second in voxels[:, :, :, None].expand(-1, -1, -1, x.shape[1], -1).permute(1, 2, 0, 3, 4):
        kept, other = flat.gather(2, first), flat.gather(2, second)
        flat.scatter_(2, first, other).scatter_(2, second, kept)
    return flat.view(x.shape)


@dataclass(frozen=True)
class CutOut(Augmentation):
    """With probability p, `count` patches of `side` voxels anywhere within the image become `fill`.

    PCRLv2's in 2-D, after normalisation, so that 0 is the mean. A side that the image does not have is the image's.
    Parameters: 1 or 0, and places in 0..1 of the room on three axes.
    """

    side: int = 32
    count: int = 3
    fill: float = 0.0
    p: float = 1.0

    @property
    def width(self) -> int:
        """Whether, and the places."""
        return 1 + 3 * self.count

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(1 + 3 count,)."""
        on, *places = rng.random(self.width).tolist()
        return float(on < self.p), *places

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Whether a voxel is cut out, (B, 1, *S)."""
        sides = params.new_tensor(fitting((self.side,) * 3, shape)).expand(len(params), self.count, -1)
        place = corners(params[:, 1:].view(len(params), self.count, 3), sides, shape)
        return (in_patches(place, sides, params[:, :1] > 0, shape),)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        return x.masked_fill_(terms[0], self.fill)


@dataclass(frozen=True)
class Paint(Augmentation):
    """With probability p, in-painting or out-painting (Models Genesis, Zhou et al. 2019): uniform noise in 0..1, by voxel,
    in patches of the image (sides a sixth to a third of its), or, with probability `outer`, all around patches (three to
    four sevenths). A patch at least; another after it with probability `more`, five in all.

    Parameters: 0 none, 1 inside or 2 around; the seed of the noise; the number of patches; their sides and places in 0..1.
    """

    p: float = 0.9
    outer: float = 0.8
    more: float = 0.95
    width = 3 + 5 * 6

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(33,)."""
        on, outer, seed, *u = rng.random(7 + 30).tolist()
        kind = 0 if on >= self.p else 2 if outer < self.outer else 1
        count = 1 + next((i for i, v in enumerate(u[:4]) if v >= self.more), 4)
        return kind, int(seed * SEEDS), count, *u[4:]

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Kind and seed, (B,); whether a voxel is in a patch, (B, 1, *S)."""
        kind, seed, count = params[:, :3].unbind(1)
        share, place = params[:, 3:].view(-1, 5, 2, 3).unbind(2)
        low, high = torch.where(
            kind[:, None, None] == 2,
            params.new_tensor([3 / 7, 4 / 7])[:, None, None, None],
            params.new_tensor([1 / 6, 1 / 3])[:, None, None, None],
        )
        whole = params.new_tensor(shape[1:])
        sides = ((low + (high - low) * share[..., : len(shape) - 1]) * whole).round().clamp_min(1)
        there = torch.arange(5, device=params.device) < count[:, None]
        return kind, seed, in_patches(corners(place, sides, shape), sides, there, shape)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S); a field comes from its own seed, whatever else is in the batch."""
        for sample, kind, seed, patches in zip(x, terms[0].tolist(), terms[1].tolist(), terms[2], strict=True):
            if kind:
                source = torch.Generator(x.device).manual_seed(int(seed))
                noise = torch.rand(sample.shape, generator=source, device=x.device, dtype=x.dtype)
                sample.copy_(torch.where(patches if kind == 1 else ~patches, noise, sample))
        return x


@dataclass(frozen=True)
class LocalShuffle(Augmentation):
    """With probability p, voxels change places at random within windows that tile the image (after Models Genesis).

    The side of the windows is drawn anew for each sample and axis, evenly from 1 to `largest` of the image's, and so is
    where the tiling starts. (Models Genesis shuffles 10,000 windows of all sizes that overlap, one after the other; these
    are shuffled all at once.) Parameters: 1 or 0, the seed, and sides and starts in 0..1 on three axes.
    """

    largest: float = 0.1
    p: float = 0.5
    width = 8

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(8,)."""
        on, seed, *u = rng.random(8).tolist()
        return float(on < self.p), int(seed * SEEDS), *u

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Whether and seed, (B,); the number of each voxel's window, (B, voxels)."""
        window = torch.zeros(len(params), 1, dtype=torch.int64, device=params.device)
        for axis, n in enumerate(shape[1:]):
            most = max(1, int(self.largest * n))
            side = 1 + (params[:, 2 + axis, None] * most).long().clamp_max(most - 1)
            start = (params[:, 5 + axis, None] * side).long().minimum(side - 1)
            window = (
                window[..., None] * (n + 1) + ((torch.arange(n, device=params.device) + start) // side)[:, None]
            ).flatten(1)
        return params[:, 0], params[:, 1], window

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S): voxels sorted by window, in it at random, are put where they lie by window, in order."""
        for sample, on, seed, window in zip(x, terms[0].tolist(), terms[1].tolist(), terms[2], strict=True):
            if on:
                source = torch.Generator(x.device).manual_seed(int(seed))
                lots = torch.randperm(len(window), generator=source, device=x.device)
                shuffled = lots[window[lots].argsort(stable=True)]
                values = sample.flatten(1)
                values[:, window.argsort(stable=True)] = values[:, shuffled]
                sample.copy_(values.view(sample.shape))
        return x


def fitting(sides: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The first of `sides`, none longer than those of an image (C, *S)."""
    return tuple(min(side, n) for side, n in zip(sides, shape[1:], strict=False))


def corners(u: Tensor, sides: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(..., >= ndim) in 0..1 -> (..., ndim) int64: the first voxel of a patch of `sides` voxels, evenly within the image."""
    room = u.new_tensor(shape[1:]) - sides
    return (u[..., : room.shape[-1]] * (room + 1)).floor().minimum(room).long()


def in_patches(first: Tensor, sides: Tensor, there: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(B, N, ndim) first voxels and sides, (B, N or 1) whether there is such a patch -> (B, 1, *S) bool: in any of them."""
    inside = there.expand(first.shape[:2])
    for axis, n in enumerate(shape[1:]):
        place = torch.arange(n, device=first.device)
        start = first[..., axis, None]
        line = (place >= start) & (place < start + sides[..., axis, None])  # (B, N, n)
        inside = inside[..., None] & line.view(*line.shape[:2], *(1,) * axis, n)
    return inside.any(1, keepdim=True)
