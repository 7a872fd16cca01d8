"""What PCRL asks of a U-Net (Zhou et al., ICCV 2021): a vector of an image, and images restored from its features.

Features may be gated by a vector that says which transformed image to restore, and mixed with those of another network.
Layers are composed from the specification.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vesalius.errors import SettingError
from vesalius.models.backbone import pool
from vesalius.models.heads import projection
from vesalius.models.scales import Final
from vesalius.models.unet import Decoder

HIDDEN = 256  # of the gate


class WayDown(nn.Module):
    """Backbone, and Linear-ReLU-Linear on the mean of its coarsest map."""

    def __init__(self, backbone: Any, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = projection(backbone.channels[-1], width, width)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, C, *S) in 0..1 -> the pyramid, finest first, and z (B, width), fp32 at least, not of unit length."""
        pyramid = self.backbone(x)
        z = self.head(pool(pyramid))
        return pyramid, z.to(torch.promote_types(z.dtype, torch.float32))


class WayUp(nn.Module):
    """A decoder with skips, and a convolution that makes the image of its last map."""

    def __init__(self, backbone: Any) -> None:
        """SettingError for a backbone of one level, from which there is no way up."""
        super().__init__()
        self.decoder = Decoder(backbone, skips=True)
        if not self.decoder.channels:
            raise SettingError("setting backbone is a network of one level", remedy="Choose a unet, resnet or fpn.")
        kernel = 1 if self.decoder.plain else 3
        self.final = Final(backbone.ndim, self.decoder.channels[-1], backbone.in_channels, kernel)

    def forward(self, pyramid: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """[(B, C_i, *S_i)], finest first, of images of `shape` -> (B, C, *shape), in 3-D in 0..1."""
        image: Tensor = self.final(self.decoder(pyramid, shape)[-1])
        return image


class Gate(nn.Module):
    """Linear, ReLU, Linear, sigmoid: how much each channel counts, once the transformation is known."""

    def __init__(self, inside: int, channels: int) -> None:
        super().__init__()
        self.layers = projection(inside, HIDDEN, channels)

    def forward(self, pyramid: Sequence[Tensor], a: Tensor) -> list[Tensor]:
        """A pyramid, finest first, and a (B, inside) -> the pyramid with its coarsest map's channels weighed in 0..1."""
        *finer, coarsest = pyramid
        weight = torch.sigmoid(self.layers(a)).to(coarsest.dtype)
        return [*finer, coarsest * weight.view(*weight.shape, *(1,) * (coarsest.ndim - 2))]


def mixed(own: Sequence[Tensor], other: Sequence[Tensor], share: float) -> list[Tensor]:
    """share * own + (1 - share) * other, map by map; at a share of 1 exactly `own`."""
    return [torch.lerp(b, a, share) for a, b in zip(own, other, strict=True)]


def unit(z: Tensor) -> Tensor:
    """(B, d) -> (B, d) of unit length."""
    return functional.normalize(z, dim=1)
