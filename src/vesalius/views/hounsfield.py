"""vox2vec's augmentations of a CT, in HU: blur or sharpen in the plane, noise, and a random window (arXiv 2307.14725).

The row that belongs together is InHounsfield, BlurOrSharpen, Noise, Window: stored units in, float in 0..1 out. What is not
in HU (radiographs, or MR made 0..1) is stretched over the widest window first, so every range is a share of its unit too:
with -1350 to 1000, noise of 30 HU is 0.013 of the range of a radiograph. In 2-D the plane is the image, in 3-D x and y.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vesalius.views.augment import Augmentation, each, replace
from vesalius.views.intensity import to_unit, uniform

BLOCK = 16  # voxels that a CPU filters together: the fastest of 16, 32, 64
REACH = 4.0  # deviations at which a Gaussian ends, as scipy's
SEEDS = 2**24  # of a field of noise: whole numbers that float32 holds


@dataclass(frozen=True)
class InHounsfield(Augmentation):
    """Stored values to float HU, the first of a row. int16 is in HU; any other type is 0..1, stretched to `low`..`high`."""

    low: float = -1350.0
    high: float = 1000.0
    width = 0

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(0,)."""
        return ()

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) as stored -> (B, C, *S) float32."""
        if x.dtype == torch.int16:
            return x.float()
        return to_unit(x, "0..1").mul_(self.high - self.low).add_(self.low)


@dataclass(frozen=True)
class BlurOrSharpen(Augmentation):
    """With probability p, one of two at random: a Gaussian blur of deviation uniform in `blur` voxels; or, with b the image
    blurred by a deviation uniform in `first` and alpha uniform in `sharpen`, b + alpha (b - b blurred by `second`).

    Edges are mirrored. Parameters: the (first) deviation, 0 for none; alpha, 0 for blur alone. Sides: at least 8 voxels.
    """

    blur: tuple[float, float] = (0.25, 1.5)
    first: tuple[float, float] = (0.5, 1.0)
    sharpen: tuple[float, float] = (10.0, 30.0)
    second: float = 0.5
    p: float = 0.5
    width = 2

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(2,)."""
        on, which, u, v = rng.random(4).tolist()
        if on >= self.p:
            return 0, 0
        return (uniform(*self.blur, u), 0) if which < 0.5 else (uniform(*self.first, u), uniform(*self.sharpen, v))

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Deviation and alpha, (B,)."""
        return params[:, 0], params[:, 1]

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        alphas = terms[1].tolist()
        softened = [sigma > 0 and not alpha for sigma, alpha in zip(terms[0].tolist(), alphas, strict=True)]
        x = replace(x, softened, self._blurred, terms[0])
        return replace(x, [alpha > 0 for alpha in alphas], self._sharpened, *terms)

    def _blurred(self, x: Tensor, sigma: Tensor) -> Tensor:
        return smooth(x, sigma, self.blur[1])

    def _sharpened(self, x: Tensor, sigma: Tensor, alpha: Tensor) -> Tensor:
        b = smooth(x, sigma, self.first[1])
        softer = smooth(b, torch.full_like(sigma[:1], self.second), self.second)
        return b.lerp_(softer, -each(alpha, x.ndim))


@dataclass(frozen=True)
class Noise(Augmentation):
    """With probability p, normal noise of deviation uniform in `sigma` HU. Parameters: deviation, 0 for none; its seed."""

    sigma: tuple[float, float] = (0.0, 30.0)
    p: float = 0.5
    social = True
    width = 2

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(2,)."""
        on, u, field = rng.random(3).tolist()
        return (uniform(*self.sigma, u), int(field * SEEDS)) if on < self.p else (0, 0)

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Deviation and seed, (B,)."""
        return params[:, 0], params[:, 1]

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S); a field comes from its own seed, whatever else is in the batch."""
        for sample, sigma, seed in zip(x, terms[0].tolist(), terms[1].tolist(), strict=True):
            if sigma > 0:
                source = torch.Generator(x.device).manual_seed(int(seed))
                field = torch.randn(sample.shape, generator=source, device=x.device, dtype=x.dtype)
                sample.add_(field, alpha=sigma)
        return x


@dataclass(frozen=True)
class Window(Augmentation):
    """HU to 0..1, clipped: with probability p from a level uniform in `low` to one uniform in `high`, else from the lowest
    to the highest. Parameters: the two levels."""

    low: tuple[float, float] = (-1350.0, -1000.0)
    high: tuple[float, float] = (300.0, 1000.0)
    p: float = 0.8
    width = 2

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(2,)."""
        on, u, v = rng.random(3).tolist()
        return (uniform(*self.low, u), uniform(*self.high, v)) if on < self.p else (self.low[0], self.high[1])

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Lowest level and width, (B,)."""
        return params[:, 0], params[:, 1] - params[:, 0]

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) HU -> (B, C, *S) in 0..1."""
        low, width = (each(term, x.ndim) for term in terms)
        return x.sub_(low).div_(width).clamp_(0, 1)


def smooth(x: Tensor, sigma: Tensor, most: float) -> Tensor:
    """(B, C, *S) -> (B, C, *S), blurred along the first two axes of S by a Gaussian of deviation sigma (B or 1,) <= `most`.

    As scipy's `gaussian_filter1d` on one axis after the other: sampled at whole voxels up to 4 deviations, of sum 1, edges
    mirrored (d c b a | a b c d | d c b a).
    """
    radius = int(REACH * most + 0.5)
    for axis in (2, 3):
        x = _along(x, axis, matrix(sigma, x.shape[axis]), radius)
    return x


def widest(*views: tuple[int, ...]) -> float:
    """The greatest deviation in voxels, that `matrix` has for views of these sides: a reach is mirrored once, not twice."""
    return min(map(min, views)) / REACH


def matrix(sigma: Tensor, n: int) -> Tensor:
    """(B,) -> (B, n, n): row i weighs the n voxels of a line into voxel i. Beyond an edge, voxel -1 - j is voxel j."""
    distance = _distances(2 * n, sigma.device)
    sigma = sigma[:, None]
    weights = torch.exp(-0.5 * (distance / sigma) ** 2) * (distance <= torch.floor(REACH * sigma + 0.5))
    weights = weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])
    within = torch.cat([weights[:, 1:n].flip(1), weights[:, :n]], 1).unfold(1, n, 1).flip(1)  # at |i - j|
    beyond = weights[:, 1:].unfold(1, n, 1)  # at i + j + 1: before the first voxel; turned about, after the last
    return within + beyond + beyond.flip(1, 2)


def _along(x: Tensor, axis: int, weights: Tensor, radius: int) -> Tensor:
    """`x` with its lines along `axis` multiplied by their sample's (n, n), by blocks of lines on a CPU: most weights are 0."""
    if axis == x.ndim - 1:  # rows are what the product adds up
        return _along(x.transpose(2, 3), 2, weights, radius).transpose(2, 3)
    n = x.shape[axis]
    lines = x.reshape(len(x), -1, n, math.prod(x.shape[axis + 1 :]))
    weights = weights[0] if len(weights) == 1 else weights[:, None]
    block = BLOCK if x.device.type == "cpu" else n
    out = torch.empty_like(lines, memory_format=torch.contiguous_format)
    for first in range(0, n, block):
        rows, near = slice(first, first + block), slice(max(0, first - radius), first + block + radius)
        out[:, :, rows] = weights[..., rows, near] @ lines[:, :, near]
    return out.view(x.shape)


@lru_cache(maxsize=64)
def _distances(n: int, device: torch.device) -> Tensor:
    return torch.arange(n, device=device)
