"""The feature pyramid of vox2vec (Goncharov et al., MICCAI 2023, arXiv 2307.14725), in two and three dimensions.

Down: two residual blocks a level, max pooling by 2 (sides rounded up), a 1x1 convolution that doubles the channels.
Up: a 1x1 convolution that halves them, nearest upsampling by 2 cropped to the finer level, plus a 1x1 convolution of that
level, two residual blocks. All of the maps that go up are the pyramid: with width 16 and 6 levels 16 channels at full
resolution to 512 at 1/32, which makes a voxel's vector of 1008 numbers, and in 3-D 47,624,448 parameters.

A name says how large: `fpn` is the paper's, `fpn8x4` has width 8 and 4 levels, and `-finest` after either gives nothing but
the map at full resolution, as the paper's vox2vec-UNet does: the same network, and a vector of `width` numbers.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vesalius.errors import SettingError
from vesalius.models.backbone import standardise
from vesalius.models.heads import Residual
from vesalius.models.resnet import CONV

NAME = re.compile(r"fpn(?:(\d{1,3})x(\d{1,2}))?(-finest)?")
POOL = {2: functional.max_pool2d, 3: functional.max_pool3d}


class FPN(nn.Module):
    """A `Backbone`: (B, 1 or C, *S) in 0..1 -> maps of width * 2^i channels at strides 2^i (sides rounded up)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        width: int,
        levels: int,
        finest: bool,
        ndim: int,
        in_channels: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        conv, widths = CONV[ndim], tuple(width * 2**i for i in range(levels))
        self.ndim, self.in_channels = ndim, in_channels
        self.channels = widths[:1] if finest else widths
        self.strides = tuple(2**i for i in range(len(self.channels)))
        self.checkpoint = False  # True: maps within blocks are made again in the backward pass, to save memory
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        self.stem = conv(in_channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(_pair(ndim, c) for c in widths)
        self.down = nn.ModuleList(conv(fine, coarse, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(conv(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.lateral = nn.ModuleList(conv(c, c, 1) for c in widths[:-1])
        self.decoder = nn.ModuleList(_pair(ndim, c) for c in widths[:-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 1 or C, *S) in 0..1 -> [(B, C_i, *S_i)], finest first. SettingError for any other shape."""
        if x.ndim != self.ndim + 2 or x.shape[1] not in (1, self.in_channels):
            raise SettingError(
                f"a {self.ndim}-D network of {self.in_channels} channels was given a batch of shape {tuple(x.shape)}",
                remedy="Set ndim and in_channels to those of the images.",
            )
        first, *deeper = self.encoder
        skips = [self._blocks(first, self.stem(standardise(x, self.mean, self.std)))]
        for down, blocks in zip(self.down, deeper, strict=True):
            halved = POOL[self.ndim](skips[-1], 2, ceil_mode=True)
            skips.append(self._blocks(blocks, down(halved)))
        pyramid = [skips.pop()]
        for up, lateral, blocks in zip(*map(reversed, (self.up, self.lateral, self.decoder)), strict=True):
            beside = lateral(skips.pop())
            beside += doubled(up(pyramid[-1]), beside.shape[2:])
            pyramid.append(self._blocks(blocks, beside))
        return pyramid[::-1][: len(self.channels)]

    def _blocks(self, blocks: nn.Module, x: Tensor) -> Tensor:
        for block in blocks.children():
            x = recomputed(block, x) if self.checkpoint and torch.is_grad_enabled() else block(x)
        return x


def _pair(ndim: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels, ndim, kernel=3) for _ in range(2)))


def doubled(x: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, C, *S) -> (B, C, *shape), shape at most twice S: voxel v holds x at floor(v / 2)."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")[:, :, *(slice(side) for side in shape)]


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """block(x); of what is within, nothing is kept for the backward pass, which runs the block once more."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _aside(block)

    y: Tensor = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return y


@contextmanager
def _aside(block: nn.Module) -> Iterator[None]:
    """Batch norm writes its running statistics to copies that are dropped: a batch counts once, not twice."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    buffers = [dict(norm._buffers) for norm in norms]
    for norm, own in zip(norms, buffers, strict=True):
        norm._buffers.update({name: None if value is None else value.clone() for name, value in own.items()})
    try:
        yield
    finally:
        for norm, own in zip(norms, buffers, strict=True):
            norm._buffers.update(own)


def fpn(
    name: str = "fpn",
    ndim: int = 3,
    in_channels: int = 1,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> FPN:
    """The pyramid called `name`, randomly initialised. SettingError for a name that is none, or other dimensions.

    mean, std: (in_channels,) of images in 0..1, subtracted and divided by; by default images are taken as they are.
    """
    found = NAME.fullmatch(name)
    width, levels = (int(found[1] or 16), int(found[2] or 6)) if found else (0, 0)
    if found is None or ndim not in CONV or not width or not 1 <= levels <= 10:
        remedy = "Choose fpn, fpn8x4 (width 8, 4 levels) or fpn8x4-finest, ndim 2 or 3."
        raise SettingError(f"there is no {name} in {ndim}-D", remedy=remedy)
    mean, std = tuple(mean or (0.0,) * in_channels), tuple(std or (1.0,) * in_channels)
    if not len(mean) == len(std) == in_channels or min(std) <= 0:
        raise SettingError(
            f"mean {mean} and std {std} do not describe {in_channels} channels",
            remedy="Give one mean and one positive deviation per input channel.",
        )
    return FPN(width, levels, found[3] is not None, ndim, in_channels, mean, std)
