"""The U-Net without skips of PCRLv2 (Zhou et al., TPAMI 2023, arXiv 2301.00772), in two and three dimensions.

Its way down is the `Backbone`: that is what the method keeps, and what transfer puts a fresh decoder with skips on
(`decoder.UNet`). `unet` is the plain one, with the widths of Models Genesis (Zhou et al., MICCAI 2019): at each level two 3x3
convolutions with norm and ReLU, and max pooling by 2 (sides rounded up); 64, 128, 256 and 512 channels at strides 1 to 8, in
3-D 7,027,776 parameters. `unet16x3` has 16 channels at full resolution and 3 levels.

The way up is a `Decoder` on any backbone. The plain U-Net goes up by transposed convolutions to its own widths; a network
that starts with a stride, such as ResNet-18, by nearest upsampling to 256, 128, 64, 32 and 16 channels (segmentation_models).
Every map of it is a scale, coarsest first, the last as large as the image.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vesalius.errors import SettingError
from vesalius.models.backbone import standardise
from vesalius.models.decoder import WIDTHS, Block
from vesalius.models.resnet import CONV, NORM

NAME = re.compile(r"unet(?:(\d{1,4})x(\d{1,2}))?")
POOL = {2: functional.max_pool2d, 3: functional.max_pool3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def _pair(ndim: int, inside: int, between: int, outside: int) -> nn.Sequential:
    """Twice 3x3 convolution, norm, ReLU: (B, inside, *S) -> (B, outside, *S)."""
    return nn.Sequential(*(
        layer
        for a, b in pairwise((inside, between, outside))
        for layer in (CONV[ndim](a, b, 3, padding=1), NORM[ndim](b), nn.ReLU(inplace=True))
    ))  # fmt: skip


class Encoder(nn.Module):
    """A `Backbone`: (B, 1 or C, *S) in 0..1 -> maps of width * 2^i channels at strides 2^i (sides rounded up)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, width: int, levels: int, ndim: int, in_channels: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.ndim, self.in_channels = ndim, in_channels
        self.channels = tuple(width * 2**i for i in range(levels))
        self.strides = tuple(2**i for i in range(levels))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        inputs = (in_channels, *self.channels[:-1])
        self.levels = nn.ModuleList(_pair(ndim, a, b // 2, b) for a, b in zip(inputs, self.channels, strict=True))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 1 or C, *S) in 0..1 -> [(B, C_i, *S_i)], finest first. SettingError for any other shape."""
        if x.ndim != self.ndim + 2 or x.shape[1] not in (1, self.in_channels):
            raise SettingError(
                f"a {self.ndim}-D network of {self.in_channels} channels was given a batch of shape {tuple(x.shape)}",
                remedy="Set ndim and in_channels to those of the images.",
            )
        first, *deeper = self.levels
        pyramid = [first(standardise(x, self.mean, self.std))]
        for level in deeper:
            pyramid.append(level(POOL[self.ndim](pyramid[-1], 2, ceil_mode=True)))
        return pyramid


class Decoder(nn.Module):
    """From a backbone's pyramid up to the image: one map a scale, `channels` (coarsest first) of them.

    skips: False: of the pyramid only the coarsest map is looked at, so that all that comes out has been through it.
    """

    def __init__(self, backbone: Any, skips: bool = False) -> None:
        super().__init__()
        ndim, (*finer, inside) = backbone.ndim, backbone.channels
        beside = finer[::-1]
        self.skips, self.plain = skips, backbone.strides[0] == 1
        if self.plain:
            self.channels = tuple(beside)
        else:
            beside = [*beside, 0]  # the image itself is no skip
            self.channels = tuple(WIDTHS[min(i, len(WIDTHS) - 1)] for i in range(len(beside)))
        self.up, self.blocks = nn.ModuleList(), nn.ModuleList()
        for width, skip in zip(self.channels, beside, strict=True):
            joined = inside + (skip if skips else 0)
            if self.plain:
                self.up.append(TRANSPOSED[ndim](inside, inside, 2, stride=2))
                self.blocks.append(_pair(ndim, joined, width, width))
            else:
                self.blocks.append(Block(ndim, joined, width))
            inside = width

    def forward(self, pyramid: Sequence[Tensor], shape: Sequence[int]) -> list[Tensor]:
        """[(B, C_i, *S_i)], finest first, of images of `shape` -> [(B, channels[s], *S_s)], coarsest first."""
        *finer, x = pyramid
        beside: list[Tensor | None] = [*reversed(finer)] if self.plain else [*reversed(finer), None]
        maps = []
        for s, (block, skip) in enumerate(zip(self.blocks, beside, strict=True)):
            size = tuple(shape if skip is None else skip.shape[2:])
            if self.plain:
                x = self.up[s](x)[:, :, *(slice(side) for side in size)]
            else:
                x = functional.interpolate(x, size, mode="nearest")
            x = block(torch.cat([x, skip], 1) if self.skips and skip is not None else x)
            maps.append(x)
        return maps


def unet(
    name: str = "unet",
    ndim: int = 3,
    in_channels: int = 1,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Encoder:
    """The way down of the plain U-Net called `name`, randomly initialised. SettingError for another name, or dimensions.

    mean, std: (in_channels,) of images in 0..1, subtracted and divided by; by default images are taken as they are.
    """
    found = NAME.fullmatch(name)
    width, levels = (int(found[1] or 64), int(found[2] or 4)) if found else (0, 0)
    if ndim not in CONV or width < 2 or width % 2 or not 2 <= levels <= 10:
        remedy = "Choose unet or unet16x3 (an even width, 2 to 10 levels), ndim 2 or 3."
        raise SettingError(f"there is no {name} in {ndim}-D", remedy=remedy)
    mean, std = tuple(mean or (0.0,) * in_channels), tuple(std or (1.0,) * in_channels)
    if not len(mean) == len(std) == in_channels or min(std) <= 0:
        raise SettingError(
            f"mean {mean} and std {std} do not describe {in_channels} channels",
            remedy="Give one mean and one positive deviation per input channel.",
        )
    return Encoder(width, levels, ndim, in_channels, mean, std)
