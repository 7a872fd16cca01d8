"""The one promise in the middle: an image goes in, a pyramid of features comes out, finest first."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Backbone(Protocol):
    """Anything that turns (B, C, *S) in 0..1 into a list of (B, channels[i], *S_i) with S_i about S / strides[i].

    A one-channel image may be given to a network of several input channels: it is repeated inside (see `takes`).
    Normalisation to the network's mean and deviation happens inside too, so that weights carry their own instructions.
    """

    ndim: int
    in_channels: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, x: Tensor, /) -> list[Tensor]:
        """(B, C, *S) -> [(B, C_i, *S_i), ...], finest first."""
        ...


def takes(in_channels: int, channels: int) -> bool:
    """Whether an image of so many channels is what a network of `in_channels` was made for: as many, or, of three, a grey
    one, which is its own red, green and blue. One modality alone is not four."""
    return channels == in_channels or (channels == 1 and in_channels == 3)


def pool(pyramid: list[Tensor]) -> Tensor:
    """Mean over space of the coarsest level: [..., (B, C, *S)] -> (B, C), in fp32 at least."""
    coarsest = pyramid[-1]
    return coarsest.mean(dim=tuple(range(2, coarsest.ndim)), dtype=torch.promote_types(coarsest.dtype, torch.float32))


def standardise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(B, 1 or C, *S) in 0..1 -> (B, C, *S), (x - mean) / std per channel of `mean`, (C,); grey is repeated."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.view(shape)) / std.view(shape)


def unstandardise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The inverse of `standardise`, cut to 0..1."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x * std.view(shape) + mean.view(shape)).clamp(0, 1)
