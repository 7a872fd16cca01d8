"""A method that is quick, and gets into trouble when told to: a dotted module, as a user's own would be."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vesalius.errors import DataError
from vesalius.methods.step import Progress, Step
from vesalius.space.box import Box
from vesalius.views.crops import cut
from vesalius.views.parts import check_granularity


@dataclass(frozen=True)
class Config:
    """trouble comes at step `at` of stage 0. least: smallest side of an image, in pixels. weights: of the encoder."""

    stages: int = 1
    size: int = 8
    least: int = 1
    weights: int = 1
    trouble: Literal["", "loss", "gradient", "memory", "crop", "signal"] = ""
    at: int = 1


def crops(rng: np.random.Generator, scan: Any, config: Config, stage: int) -> dict[str, np.ndarray]:
    """The whole image, small."""
    if config.trouble == "crop" and scan.index == 0:
        raise DataError("gone from the cache", file="some.b2nd", remedy="Prepare again.")
    return {"pixels": cut(scan, Box.whole(scan.shape), (config.size,) * len(scan.shape))}


def augment(batch: Mapping[str, Tensor], config: Config, stage: int) -> dict[str, Tensor]:
    """Nothing but the unit."""
    return {"x": batch["pixels"].float() / 255}


class Stub(nn.Module):
    """What a card tells of a backbone, and few weights: a run's files stay small."""

    def __init__(self, backbone: Any, weights: int) -> None:
        super().__init__()
        self.ndim, self.in_channels = backbone.ndim, backbone.in_channels
        self.channels, self.strides = backbone.channels, backbone.strides
        self.mean, self.std = backbone.mean, backbone.std
        self.weight = nn.Parameter(torch.zeros(weights))


class Method(nn.Module):
    """Learns the mean of the images."""

    negatives_in_batch = True

    def __init__(self, backbone: Any, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.encoder, self.config = Stub(backbone, config.weights), config

    def forward(self, views: Mapping[str, Tensor], progress: Progress) -> Step:
        now = progress.step == self.config.at and self.training
        trouble = self.config.trouble if now else ""
        if trouble == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        if trouble == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        difference = views["x"].mean() - self.encoder.weight.mean()
        if trouble == "gradient":
            return Step((0 * self.encoder.weight.mean()).sqrt(), {})  # 0, of infinite slope
        return Step(difference**2 * (torch.nan if trouble == "loss" else 1), {})

    def after_update(self, carries: Sequence[Any]) -> None:
        """Nothing follows."""


def check_scan(shape: tuple[int, ...], config: Config) -> None:
    """DataError where a side is shorter than `least`."""
    check_granularity(shape, 0, config.least)
