"""ResNet in two and three dimensions: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.

2-D state-dict keys are torchvision's and timm's without `fc`, so weights travel both ways. As in torchvision the
3x3 convolution of a bottleneck carries the stride ("v1.5"), and convolutions start from a normal distribution of
variance 2 / fan-out. In 3-D every kernel and stride gets a third axis of the same length.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vesalius.errors import SettingError
from vesalius.models.backbone import standardise
from vesalius.models.conv import Conv2d, Conv3d

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CONV: dict[int, type[Conv2d] | type[Conv3d]] = {2: Conv2d, 3: Conv3d}
NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def _conv(ndim: int, inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Module:
    return CONV[ndim](inside, outside, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(ndim: int, inside: int, outside: int, stride: int) -> nn.Module | None:
    """Where the block changes shape, the identity becomes a 1x1 convolution (option B of the paper)."""
    if stride == 1 and inside == outside:
        return None
    return nn.Sequential(_conv(ndim, inside, outside, 1, stride), NORM[ndim](outside))


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, inside, *S) -> (B, width, *S / stride)."""

    expansion = 1

    def __init__(self, ndim: int, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(ndim, inside, width, 3, stride), NORM[ndim](width)
        self.conv2, self.bn2 = _conv(ndim, width, width, 3), NORM[ndim](width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(ndim, inside, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, *S) -> (B, width, *S / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: (B, inside, *S) -> (B, 4 * width, *S / stride)."""

    expansion = 4

    def __init__(self, ndim: int, inside: int, width: int, stride: int) -> None:
        super().__init__()
        outside = width * self.expansion
        self.conv1, self.bn1 = _conv(ndim, inside, width, 1), NORM[ndim](width)
        self.conv2, self.bn2 = _conv(ndim, width, width, 3, stride), NORM[ndim](width)
        self.conv3, self.bn3 = _conv(ndim, width, outside, 1), NORM[ndim](outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(ndim, inside, outside, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, *S) -> (B, 4 * width, *S / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)  # type: ignore[no-any-return]


LAYOUTS: dict[int, tuple[type[Basic] | type[Bottleneck], tuple[int, ...]]] = {  # table 1 of the paper
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """A `Backbone`: (B, 1 or C, *S) in 0..1 -> stem and four layers at strides 2, 4, 8, 16, 32 (sides rounded up)."""

    mean: Tensor
    std: Tensor

    def __init__(self, depth: int, ndim: int, in_channels: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        block, repeats = LAYOUTS[depth]
        widths = (64, 128, 256, 512)
        self.ndim, self.in_channels = ndim, in_channels
        self.channels = (64, *(width * block.expansion for width in widths))
        self.strides = (2, 4, 8, 16, 32)
        self.origins = (0.0,) * 5  # an odd kernel of stride s looks at voxel s * i, not at the middle of s voxels
        # Not persistent: the state dict stays torchvision's; the checkpoint's JSON keeps mean and deviation.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        self.conv1, self.bn1 = _conv(ndim, in_channels, 64, 7, 2), NORM[ndim](64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = POOL[ndim](3, 2, padding=1)
        inside = 64
        for i, (width, n) in enumerate(zip(widths, repeats, strict=True)):
            blocks = []
            for j in range(n):
                blocks.append(block(ndim, inside, width, 2 if i > 0 and j == 0 else 1))
                inside = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, CONV[ndim]):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 1 or C, *S) in 0..1 -> [(B, C_i, *S_i)] x 5, finest first. SettingError for any other shape."""
        if x.ndim != self.ndim + 2 or x.shape[1] not in (1, self.in_channels):
            raise SettingError(
                f"a {self.ndim}-D network of {self.in_channels} channels was given a batch of shape {tuple(x.shape)}",
                remedy="Set ndim and in_channels to those of the images.",
            )
        x = self.relu(self.bn1(self.conv1(standardise(x, self.mean, self.std))))
        pyramid = [x]
        x = self.maxpool(x)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)  # type: ignore[operator]
            pyramid.append(x)
        return pyramid


def resnet(
    depth: int,
    ndim: int = 2,
    in_channels: int = 3,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResNet:
    """ResNet-18, -34 or -50, randomly initialised, in 2-D or 3-D. SettingError for anything else.

    mean, std: (in_channels,) of images in 0..1; ImageNet's by default (averaged where channels are not three).
    """
    if depth not in LAYOUTS or ndim not in CONV:
        raise SettingError(f"there is no ResNet-{depth} in {ndim}-D", remedy="Choose depth 18, 34 or 50, ndim 2 or 3.")
    mean, std = (
        tuple(given) if given else (known if in_channels == 3 else (sum(known) / 3,) * in_channels)
        for given, known in ((mean, IMAGENET_MEAN), (std, IMAGENET_STD))
    )
    if not len(mean) == len(std) == in_channels or min(std) <= 0:
        raise SettingError(
            f"mean {mean} and std {std} do not describe {in_channels} channels",
            remedy="Give one mean and one positive deviation per input channel.",
        )
    return ResNet(depth, ndim, in_channels, mean, std)
