"""What PCRLv2 asks of each scale of a decoder (Zhou et al., TPAMI 2023): the image again, and a vector to compare.

Layers are composed from the specification and its numbers of parameters.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vesalius.errors import SettingError
from vesalius.models.backbone import pool, standardise, unstandardise
from vesalius.models.fpn import FPN
from vesalius.models.heads import spread
from vesalius.models.resnet import CONV, NORM
from vesalius.models.unet import Decoder


class Comparison(nn.Module):
    """z: mean over space and batch norm, with no projector. p: what a perceptron of z predicts of another view's z."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.norm = nn.BatchNorm1d(channels)
        self.predictor = nn.Sequential(
            nn.Linear(channels, wide), nn.BatchNorm1d(wide), nn.ReLU(inplace=True), nn.Linear(wide, channels)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, *S) -> z, p: (B, C), not of unit length."""
        z = self.norm(pool([x]))
        return z, self.predictor(z)


class Restoration(nn.Module):
    """The image from the map of a scale: in 2-D two convolutions, in 3-D one with a norm and a sigmoid; then enlarged."""

    def __init__(self, ndim: int, channels: int, outputs: int) -> None:
        """outputs: channels of the image."""
        super().__init__()
        conv, norm = CONV[ndim], NORM[ndim]
        flat = (
            conv(channels, channels, 3, padding=1),
            norm(channels),
            nn.ReLU(inplace=True),
            conv(channels, outputs, 1),
        )
        deep = (conv(channels, outputs, 3, padding=1), norm(outputs), nn.Sigmoid())
        self.layers = nn.Sequential(*(flat if ndim == 2 else deep))

    def forward(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """(B, C, *S) -> (B, outputs, *shape); in 3-D in 0..1."""
        y: Tensor = self.layers(x)
        return y if y.shape[2:] == torch.Size(shape) else spread(y, shape)


class Final(nn.Module):
    """The image from the map that is as large as it: one convolution, of 1 voxel in a plain U-Net, else of 3."""

    def __init__(self, ndim: int, channels: int, outputs: int, kernel: int) -> None:
        super().__init__()
        conv = CONV[ndim](channels, outputs, kernel, padding=kernel // 2)
        self.layers = nn.Sequential(conv, nn.Sigmoid() if ndim == 3 else nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, outputs, *S); in 3-D in 0..1."""
        y: Tensor = self.layers(x)
        return y


class Scales(nn.Module):
    """A backbone, a way up, and at each of its scales, or some of them, a head that compares and a head that restores.

    2-D networks restore the image less their mean, over their deviation; 3-D ones the image in 0..1, through a sigmoid.
    """

    def __init__(
        self,
        backbone: Any,
        chosen: Sequence[int] = (),
        *,
        skips: bool = False,
        compare: bool = True,
        restore: bool = True,
    ) -> None:
        """chosen: numbers of scales, 0 the coarsest; all if none is given. SettingError where there is no such scale."""
        super().__init__()
        self.backbone, self.decoder = backbone, Decoder(backbone, skips)
        widths, ndim, outputs = self.decoder.channels, backbone.ndim, backbone.in_channels
        self.chosen = _usable(backbone, chosen, len(widths), skips)
        self.comparisons = nn.ModuleList(Comparison(widths[s]) for s in self.chosen if compare)
        self.restorations = nn.ModuleList(Restoration(ndim, widths[s], outputs) for s in self.chosen if restore)
        self.final = Final(ndim, widths[-1], outputs, 1 if self.decoder.plain else 3) if restore else None

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) in 0..1 -> the maps of all scales, [(B, C_s, *S_s)], coarsest first."""
        maps: list[Tensor] = self.decoder(self.backbone(x), x.shape[2:])
        return maps

    def vectors(self, maps: Sequence[Tensor], i: int) -> tuple[Tensor, Tensor]:
        """z, p: (B, C_s), of the i-th of the chosen scales."""
        z, p = self.comparisons[i](maps[self.chosen[i]])
        return z, p

    def restored(self, maps: Sequence[Tensor], chosen: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The image (B, C, *S) as the last map restores it, and as those of the chosen scales do. SettingError: no heads."""
        if self.final is None:
            raise SettingError("setting method.restore is off", remedy="There are no heads that restore.")
        shape = maps[-1].shape[2:]
        return self.final(maps[-1]), [self.restorations[i](maps[self.chosen[i]], shape) for i in chosen]

    def target(self, y: Tensor) -> Tensor:
        """(B, C, *S) in 0..1 -> what `restored` should be."""
        return standardise(y, self.backbone.mean, self.backbone.std) if self.backbone.ndim == 2 else y

    @torch.no_grad()
    def pictures(self, x: Tensor) -> list[Tensor]:
        """(B, C, *S) in 0..1 -> the image in 0..1 as each scale restores it, coarsest first, and last the final one."""
        final, middle = self.restored(self(x), range(len(self.chosen)))
        if self.backbone.ndim == 3:
            return [*middle, final]
        return [unstandardise(image, self.backbone.mean, self.backbone.std) for image in (*middle, final)]


def _usable(backbone: Any, chosen: Sequence[int], n: int, skips: bool) -> tuple[int, ...]:
    """Which of the n scales are used. SettingError: one that there is not, or a network part of which would not learn."""
    if isinstance(backbone, FPN) and not skips:
        reason = "an fpn's way up does not pass its coarsest map, and would not learn"
        raise SettingError(reason, remedy="Choose a unet or a resnet, or method.skips.")
    if not n or max(chosen, default=0) >= n:
        remedy = f"This network has {n}, from 0, the coarsest." if n else "It has none: choose a unet or a resnet."
        raise SettingError(f"setting method.scales is {tuple(chosen)}", remedy=remedy)
    return tuple(sorted(set(chosen))) or tuple(range(n))
