"""Encoders of voxels without training: pyramids with random weights, and one that reads the place from the pixels."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.data.prepare import steps_for, steps_to_json


def random(name="fpn2x2", ndim=3, seed=0):
    """A pyramid in eval mode."""
    torch.manual_seed(seed)
    return zoo.build(name, ndim, 1).eval()


def write(path: Path, name="fpn2x2", spacing=None, body=False) -> Path:
    """The encoder's file, for CT."""
    network = random(name)
    steps = steps_to_json(steps_for(3, spacing=spacing, body=body))
    checkpoint.write(path, network.state_dict(), Card(zoo.description(name, network), prepare=steps, unit="HU"))
    return path


class Places(nn.Module):
    """Of images whose channels are places (see `coded`): level 0 says the place on a circle, level 1 always the same."""

    def __init__(self, ndim=3):
        super().__init__()
        self.ndim, self.in_channels, self.strides, self.channels = ndim, ndim, (1, 2), (2 * ndim, 1)

    def forward(self, x):
        pool = {2: functional.max_pool2d, 3: functional.max_pool3d}[self.ndim]
        nothing = torch.zeros_like(pool(x[:, :1], 2, ceil_mode=True))
        return [torch.cat([(3 * x).cos(), (3 * x).sin()], 1), nothing + 1e-3]
