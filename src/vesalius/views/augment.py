"""Augmentations in a row: drawn one sample at a time on the host, applied to batches where the batch is.

Nothing in `apply` is random, and no sample's result depends on its neighbours in the batch, bit for bit. On a CPU the
samples go through the whole row one at a time (small ones a few), so that an image and its copies stay in the core's own
cache; what is cheap but many (cosines, filter taps) is worked out for the whole batch before, in `terms`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOGETHER = 2**17  # voxels that go through a row together on a CPU


class Augmentation(ABC):
    """One random change of an image; subclasses are small frozen dataclasses. `width` numbers say what is done to a sample.

    social: whether `change` gives a sample the same bits in company as alone; only then a CPU takes small ones together.
    """

    social = False

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers `draw` gives."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(width,): the parameters of one sample of `ndim` spatial axes."""

    @abstractmethod
    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """(B, width) and the shape (C, *S) of a sample -> what `change` needs, each (B, ...)."""

    @abstractmethod
    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) float in 0..1 -> (B, C, *S); the memory of `x` may be written over, and returned."""

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S) float in 0..1 and (B, width) -> (B, C, *S)."""
        return apply_all([self], x, params)


def draw_all(augmentations: Sequence[Augmentation], rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
    """(P,) float32: the parameters of one sample, all augmentations side by side."""
    return np.array([number for a in augmentations for number in a.draw(rng, ndim)], np.float32)


def apply_all(augmentations: Sequence[Augmentation], x: Tensor, params: Tensor) -> Tensor:
    """(B, C, *S) float in 0..1 and (B, P) -> (B, C, *S): the augmentations one after the other, on the device of `x`.

    x may be in stored units where the first of them is `intensity.ToUnit`.
    """
    if not augmentations:
        return x
    if not len(x):
        return x.new_empty(x.shape, dtype=torch.float32)
    own = torch.split(params, [a.width for a in augmentations], dim=1)
    terms = [a.terms(p, tuple(x.shape[1:])) for a, p in zip(augmentations, own, strict=True)]
    if x.device.type != "cpu":
        return _row(augmentations, x.clone(), terms)  # a copy, because they may write over it
    # An ordinary tensor, that a network may keep for its gradients; in numpy's memory, which comes in huge pages: fresh
    # small ones took a quarter of the time.
    out = torch.from_numpy(np.empty(tuple(x.shape), np.float32))
    group = max(1, TOGETHER // max(1, x[:1].numel())) if all(a.social for a in augmentations) else 1
    with torch.inference_mode():  # a twelfth faster
        groups = [[torch.split(term, group) for term in ts] for ts in terms]
        for i, (some, done) in enumerate(zip(torch.split(x, group), torch.split(out, group), strict=True)):
            done.copy_(_row(augmentations, some.clone(), [[term[i] for term in ts] for ts in groups]))
    return out


def _row(augmentations: Sequence[Augmentation], x: Tensor, terms: Sequence[Sequence[Tensor]]) -> Tensor:
    for augmentation, own in zip(augmentations, terms, strict=True):
        x = augmentation.change(x, *own)
    return x


def per_sample(values: Tensor, ndim: int) -> Tensor:
    """(B, *K) -> (B, *K, 1, ..., 1), `ndim` axes of 1 for the channel and space."""
    return values.view(*values.shape, *(1,) * ndim)


def each(values: Tensor, ndim: int) -> Tensor | float:
    """(B,) -> (B, 1, ..., 1) to go with a batch of `ndim` axes; of one sample its number, which is four times as fast."""
    return float(values) if values.numel() == 1 else values.view(-1, *(1,) * (ndim - 1))


def replace(x: Tensor, chosen: list[bool], change: Callable[..., Tensor], *terms: Tensor) -> Tensor:
    """`x` with its chosen samples put through change(samples, *their terms)."""
    if not any(chosen):
        return x
    if all(chosen):
        return change(x, *terms)
    index = torch.tensor([i for i, yes in enumerate(chosen) if yes], device=x.device)
    return x.index_copy(0, index, change(x[index], *(term[index] for term in terms)))
