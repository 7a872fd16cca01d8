"""Augmentations in a row: drawn one sample at a time on the host, applied to whole batches where the batch is.

An augmentation is a small frozen dataclass. `draw` gives the numbers of one sample, `apply` uses those of many; nothing in
`apply` is random, and no sample's result depends on its neighbours in the batch, bit for bit.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 8  # images at a time on a CPU: measured, a chunk of 224 x 224 float images and its copies stay near the cache


class Augmentation(Protocol):
    """What every augmentation offers."""

    @property
    def width(self) -> int:
        """How many numbers `draw` gives."""
        ...

    def draw(self, rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
        """(width,) float32: the parameters of one sample of `ndim` spatial axes."""
        ...

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S) float in 0..1 and (B, width) -> (B, C, *S); `x` is left as it was."""
        ...


def draw_all(augmentations: Sequence[Augmentation], rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
    """(P,) float32: the parameters of one sample, all augmentations side by side."""
    return np.concatenate([np.zeros(0, np.float32), *(a.draw(rng, ndim) for a in augmentations)])


def apply_all(augmentations: Sequence[Augmentation], x: Tensor, params: Tensor) -> Tensor:
    """(B, C, *S) float in 0..1 and (B, P) -> (B, C, *S): the augmentations one after the other, on the device of `x`."""
    if x.device.type != "cpu" or len(x) <= CHUNK:
        return _apply(augmentations, x, params)
    out = torch.empty_like(x)
    for start in range(0, len(x), CHUNK):
        some = slice(start, start + CHUNK)
        out[some] = _apply(augmentations, x[some], params[some])
    return out


def _apply(augmentations: Sequence[Augmentation], x: Tensor, params: Tensor) -> Tensor:
    widths = [a.width for a in augmentations]
    for augmentation, own in zip(augmentations, params.split(widths, dim=1), strict=True):
        x = augmentation.apply(x, own)
    return x
