"""A U-Net's decoder on any backbone: Ronneberger et al., 2015; widths and nearest upsampling as in segmentation_models.

From the coarsest level up: nearest upsampling to the next level's size, its features beside it (the skip), two 3x3
convolutions with norm and ReLU. A level that the pyramid does not have is not asked for; levels of equal stride join
without upsampling. Half of the original resolution is bridged at the end. A backbone that begins at full resolution, such as
the plain U-Net's way down, gets its own widths again on the way up, and nothing at the end.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vesalius.models.backbone import Backbone
from vesalius.models.resnet import CONV, NORM

WIDTHS = (256, 128, 64, 32, 16)


class Block(nn.Module):
    """Twice 3x3 convolution, norm, ReLU: (B, inside, *S) -> (B, width, *S)."""

    def __init__(self, ndim: int, inside: int, width: int) -> None:
        super().__init__()
        conv, norm = CONV[ndim], NORM[ndim]
        self.layers = nn.Sequential(
            conv(inside, width, 3, padding=1, bias=False), norm(width), nn.ReLU(inplace=True),
            conv(width, width, 3, padding=1, bias=False), norm(width), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, *S) -> (B, width, *S)."""
        found: Tensor = self.layers(x)
        return found


class UNet(nn.Module):
    """Backbone and decoder: (B, C, *S) in 0..1 -> logits (B, K, *S)."""

    def __init__(self, backbone: nn.Module, outputs: int, *, skips: bool = True, widths: Sequence[int] = ()) -> None:
        """outputs: K maps, each its own yes or no, since structures may overlap. skips: False for a non-skip U-Net.

        widths: of the decoder's levels, coarsest first, the last for all that follow; by default as above.
        """
        super().__init__()
        assert isinstance(backbone, Backbone)
        self.backbone, self.skips = backbone, skips
        *finer, inside = backbone.channels
        plain = backbone.strides[0] == 1
        widths = tuple(widths) or (tuple(reversed(finer)) if plain else WIDTHS)
        blocks = []
        for i, channels in enumerate(reversed(finer)):
            width = widths[min(i, len(widths) - 1)]
            blocks.append(Block(backbone.ndim, inside + (channels if skips else 0), width))
            inside = width
        last = inside if plain else widths[min(len(finer), len(widths) - 1)]
        self.blocks = nn.ModuleList(blocks)
        self.final = nn.Identity() if plain else Block(backbone.ndim, inside, last)
        head = {2: nn.Conv2d, 3: nn.Conv3d}[backbone.ndim]
        self.head = head(last, outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, *S) in 0..1 -> (B, K, *S)."""
        *finer, x = self.backbone(images)
        for block, skip in zip(self.blocks, reversed(finer), strict=True):
            x = functional.interpolate(x, skip.shape[2:], mode="nearest")
            x = block(torch.cat([x, skip], 1) if self.skips else x)
        x = self.final(functional.interpolate(x, images.shape[2:], mode="nearest"))
        logits: Tensor = self.head(x)
        return logits
