"""Heads: small networks from a backbone's features to the space where the loss lives.

The dense heads are vox2vec's (Goncharov et al., MICCAI 2023), on any pyramid: what K maps can be told of a voxel from the
features of all levels above it, by a linear map or by perceptrons; no kernel is wider than one voxel, so that what is
learned of the surroundings is the backbone's own. Layers are composed from the paper's text and its numbers of parameters.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from vesalius.errors import SettingError
from vesalius.models.backbone import Backbone
from vesalius.models.resnet import CONV, NORM


def projection(inside: int, hidden: int, outside: int, norm: bool = False) -> nn.Sequential:
    """Linear, ReLU, Linear: (B, inside) -> (B, outside), not of unit length. MoCo-v2 (arXiv 2003.04297, section 2).

    norm: batch norm after each Linear, the last one without affine, as in MoCo-v3 (arXiv 2104.02057, section 4.1).
    """
    if norm:
        first, last = nn.BatchNorm1d(hidden), nn.BatchNorm1d(outside, affine=False)
        plain = (
            nn.Linear(inside, hidden, bias=False),
            first,
            nn.ReLU(inplace=True),
            nn.Linear(hidden, outside, bias=False),
        )
        return nn.Sequential(*plain, last)
    return nn.Sequential(nn.Linear(inside, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outside))


class LinearHead(nn.Module):
    """A linear classifier of every voxel v on its features at floor(v / ratio) of all levels, joined; as sums of maps.

    Convolution and nearest upsampling commute, so each level is mapped to K before it is enlarged: K maps are enlarged in
    place of sum(C_i), to the same result.
    """

    def __init__(
        self,
        channels: Sequence[int],
        outputs: int,
        ndim: int,
        strides: Sequence[int] | None = None,
        levels: Sequence[int] = (),
    ) -> None:
        """channels: of the levels, finest first. strides: of the levels; each twice the finer one's by default.

        levels: those that are looked at, by number, such as (0,) for the finest alone; none named: all. SettingError: there
        is no such level, or one is named twice.
        """
        super().__init__()
        self.steps = _steps(channels, strides)
        self.chosen = tuple(sorted(levels)) or tuple(range(len(channels)))
        if len(set(self.chosen)) < len(self.chosen) or not set(self.chosen) <= set(range(len(channels))):
            remedy = f"The pyramid has levels 0 to {len(channels) - 1}; name each once."
            raise SettingError(f"setting levels is {tuple(levels)}", remedy=remedy)
        first = self.chosen[0]
        self.levels = nn.ModuleList(CONV[ndim](channels[i], outputs, 1, bias=i == first) for i in self.chosen)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """[(B, C_i, *S_i), ...], finest first -> logits (B, K, *S_0), whatever levels are looked at."""
        maps = {i: level(pyramid[i]) for i, level in zip(self.chosen, self.levels, strict=True)}
        x = maps[self.chosen[-1]]
        for i in reversed(range(self.chosen[-1])):
            x = enlarged(x, pyramid[i].shape[2:], self.steps[i])
            x = maps[i] + x if i in maps else x
        return x  # type: ignore[no-any-return]


class NonLinearHead(nn.Module):
    """The decoder of vox2vec's FPN with kernels of one voxel, one residual block a level, and a last convolution to K."""

    def __init__(self, channels: Sequence[int], outputs: int, ndim: int, strides: Sequence[int] | None = None) -> None:
        """channels: of the levels, finest first. strides: of the levels; each twice the finer one's by default."""
        super().__init__()
        self.steps = _steps(channels, strides)
        self.lateral = nn.ModuleList(CONV[ndim](c, c, 1) for c in channels[:-1])
        self.up = nn.ModuleList(CONV[ndim](coarse, fine, 1) for fine, coarse in pairwise(channels))
        self.blocks = nn.ModuleList(Residual(c, ndim) for c in channels)
        self.final = CONV[ndim](channels[0], outputs, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """[(B, C_i, *S_i), ...], finest first -> logits (B, K, *S_0)."""
        x = self.blocks[-1](pyramid[-1])
        for i in reversed(range(len(self.steps))):
            y = self.lateral[i](pyramid[i])
            x = self.blocks[i](y + enlarged(self.up[i](x), y.shape[2:], self.steps[i]))
        logits: Tensor = self.final(x)
        return logits


class Residual(nn.Module):
    """Twice norm, ReLU, convolution, and the identity beside: (B, C, *S) -> (B, C, *S). He et al., ECCV 2016."""

    def __init__(self, channels: int, ndim: int, kernel: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(
            layer
            for _ in range(2)
            for layer in (
                NORM[ndim](channels), nn.ReLU(inplace=True), CONV[ndim](channels, channels, kernel, padding=kernel // 2)
            )
        ))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        return x + self.layers(x)  # type: ignore[no-any-return]


HEADS: dict[str, type[LinearHead] | type[NonLinearHead]] = {"linear": LinearHead, "nonlinear": NonLinearHead}


class Standardised(nn.Module):
    """A dense head on features less their mean, over their deviation, channel by channel: numbers that do not learn.

    Steps of one size then learn from any encoder alike: features of random weights deviate by 0.03 and those of trained ones
    by 5, and a head whose weights have to grow to hundreds first says nothing of what it looks at. (Not in vox2vec.)
    """

    def __init__(self, head: LinearHead | NonLinearHead, channels: Sequence[int], ndim: int) -> None:
        super().__init__()
        self.head, self.count, ones = head, len(channels), (1,) * ndim
        for i, n in enumerate(channels):
            self.register_buffer(f"mean{i}", torch.zeros(1, n, *ones))
            self.register_buffer(f"scale{i}", torch.ones(1, n, *ones))

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """As the head's."""
        known = ((x, getattr(self, f"mean{i}"), getattr(self, f"scale{i}")) for i, x in enumerate(pyramid))
        logits: Tensor = self.head([(x - mean) * scale for x, mean, scale in known])
        return logits

    @torch.no_grad()
    def fit(self, pyramids: Iterable[Sequence[Tensor]]) -> None:
        """Take means and deviations from these, each [(B, C_i, *S_i), ...]; every cell of a level counts alike.

        A channel that varies by less than a hundred-thousandth of its level's median deviation is left out, as 0.
        """
        sums = [_Moments() for _ in range(self.count)]
        for pyramid in pyramids:
            for moments, x in zip(sums, pyramid, strict=True):
                moments.add(x)
        for i, moments in enumerate(sums):
            mean, scale = getattr(self, f"mean{i}"), getattr(self, f"scale{i}")
            deviation = moments.deviation()
            least = 1e-5 * deviation.median()
            mean.copy_(moments.mean().view_as(mean))
            scale.copy_(torch.where(deviation > least, 1 / deviation.clamp_min(1e-30), 0.0).view_as(scale))


class _Moments:
    """Sums over the cells of maps, channel by channel."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        """(B, C, *S)."""
        flat = x.detach().float().transpose(0, 1).flatten(1)
        var, mean = (value.double() for value in torch.var_mean(flat, 1, correction=0))
        n = flat.shape[1]
        self.count, self.sum, self.squares = self.count + n, self.sum + n * mean, self.squares + n * (var + mean**2)

    def mean(self) -> Tensor:
        """(C,)."""
        return self.sum / self.count

    def deviation(self) -> Tensor:
        """(C,)."""
        return (self.squares / self.count - self.mean() ** 2).clamp_min(0).sqrt()


Dense = LinearHead | NonLinearHead | Standardised


def dense_head(
    kind: str, backbone: Backbone, outputs: int, levels: Sequence[int] = (), standardise: bool = False
) -> Dense:
    """The head called `kind`, for the pyramid of `backbone`. levels: see LinearHead. standardise: it wants to be fitted.

    SettingError: a non-linear one of some levels, for its levels are one decoder.
    """
    of = (backbone.channels, outputs, backbone.ndim, backbone.strides)
    if levels and kind != "linear":
        raise SettingError(f"setting levels is {tuple(levels)}", remedy="A linear head can look at some levels alone.")
    head = LinearHead(*of, levels) if kind == "linear" else NonLinearHead(*of)
    return Standardised(head, backbone.channels, backbone.ndim) if standardise else head


class WithHead(nn.Module):
    """A backbone under a dense head: (B, C, *S) in 0..1 -> logits (B, K, *S)."""

    def __init__(self, backbone: nn.Module, head: Dense) -> None:
        super().__init__()
        assert isinstance(backbone, Backbone)
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, *S) in 0..1 -> (B, K, *S)."""
        return spread(self.head(self.backbone(images)), images.shape[2:])


def spread(logits: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, K, *S_0) -> (B, K, *shape), linear between the middles of cells."""
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return functional.interpolate(logits, tuple(shape), mode=mode, align_corners=False)


def enlarged(x: Tensor, shape: Sequence[int], step: tuple[int, int] = (1, 2)) -> Tensor:
    """(B, C, *S) -> (B, C, *shape): voxel v holds x at floor(v * step[0] / step[1]), the last cell at most.

    step: strides of the finer and of the coarser level. Sides that are no multiple are cropped, as after ceil pooling.
    """
    fine, coarse = step
    for axis, side in enumerate(shape, 2):
        if side != x.shape[axis] or fine != coarse:
            cells = torch.arange(side, device=x.device) * fine // coarse
            x = x.index_select(axis, cells.clamp(max=x.shape[axis] - 1))
    return x


def _steps(channels: Sequence[int], strides: Sequence[int] | None) -> tuple[tuple[int, int], ...]:
    """(stride of the finer, stride of the coarser) of each two neighbouring levels."""
    known = [2**i for i in range(len(channels))] if strides is None else strides
    assert len(known) == len(channels)
    return tuple(pairwise(known))
