"""Augmentations of value that a network is to undo: blur along each axis, gamma; and normalisation (PCRLv2, 3-D).

The row of PCRLv2's large crops in 3-D: HorizontalFlip, Affine (here is the target), AxisBlur, Noise, Gamma, SwapPatches,
ZNormalise; the noise is that of `hounsfield`, with deviations in the image's unit.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vesalius.views.augment import Augmentation, each, per_sample
from vesalius.views.hounsfield import matrix
from vesalius.views.intensity import LUMINANCE, uniform

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of red, green and blue


@dataclass(frozen=True)
class AxisBlur(Augmentation):
    """With probability p, a Gaussian blur of another deviation on each axis, uniform in `sigma` voxels (torchio's RandomBlur).

    As scipy's `gaussian_filter`: up to 4 deviations, edges mirrored; sides of at least 4 deviations. Parameters: a
    deviation an axis, 0 for none.
    """

    sigma: tuple[float, float] = (0.0, 2.0)
    p: float = 1.0
    social = True
    width = 3

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(3,)."""
        on, *u = rng.random(4).tolist()
        return tuple(uniform(*self.sigma, v) if on < self.p and axis < ndim else 0.0 for axis, v in enumerate(u))

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The blur along each axis of n voxels as a matrix (B, n, n)."""
        return tuple(matrix(sigma.clamp_min(1e-3), n) for sigma, n in zip(params.T, shape[1:], strict=False))

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S): every product takes the last axis and puts it first, so none is copied about."""
        shape = x.shape
        for weights in reversed(terms):
            x = weights[:, None] @ x.reshape(*shape[:2], -1, weights.shape[1]).mT
        return x.view(shape)


@dataclass(frozen=True)
class Gamma(Augmentation):
    """With probability p, |x|^gamma with the sign of x, log(gamma) uniform in `log` (torchio's RandomGamma).

    Parameter: gamma, 1 for none.
    """

    log: tuple[float, float] = (-0.3, 0.3)
    p: float = 1.0
    social = True
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(1,)."""
        on, u = rng.random(2).tolist()
        return (float(np.exp(uniform(*self.log, u))) if on < self.p else 1.0,)

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Gamma, (B,)."""
        return (params[:, 0],)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S); by logarithm and exponential, twice as fast as a power."""
        if (terms[0] == 1).all():
            return x
        return x.abs().log2_().mul_(each(terms[0], x.ndim)).exp2_().copysign_(x)


@dataclass(frozen=True)
class ZNormalise(Augmentation):
    """Each sample less its mean, over its deviation (of all its voxels); a constant becomes 0. No parameters."""

    social = True
    width = 0

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(0,)."""
        return ()

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S) of mean 0 and variance 1."""
        axes, voxels = tuple(range(1, x.ndim)), x[0].numel()
        x = x.sub_(x.mean(axes, keepdim=True))
        deviation = torch.linalg.vector_norm(x, dim=axes, keepdim=True) / voxels**0.5
        return x.div_(torch.where(deviation > 1e-6, deviation, torch.inf))


@dataclass(frozen=True)
class Normalise(Augmentation):
    """Each channel less a mean, over a deviation; by default ImageNet's, whose grey a single channel takes. No parameters."""

    mean: tuple[float, float, float] = IMAGENET[0]
    deviation: tuple[float, float, float] = IMAGENET[1]
    social = True
    width = 0

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(0,)."""
        return ()

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Mean and deviation of each channel, (B, C, 1, ..., 1)."""
        numbers = params.new_tensor([self.mean, self.deviation])
        # One grey channel, or modalities: each as the luminance of a grey image in red, green and blue.
        if shape[0] != 3:
            numbers = (numbers @ params.new_tensor(LUMINANCE))[:, None].expand(-1, shape[0])
        mean, deviation = per_sample(numbers.expand(len(params), -1, -1), len(shape) - 1).unbind(1)
        return mean, deviation

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        return x.sub_(terms[0]).div_(terms[1])
