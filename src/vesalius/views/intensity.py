"""Batched augmentations of brightness: colour jitter, blur, grayscale; and stored units to 0..1."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius.errors import DataError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"
BLUR_CHUNK = 4  # images at a time on a CPU: measured
LARGEST = {torch.uint8: 255, torch.uint16: 65535}


def to_unit(x: Tensor, unit: str, window: tuple[float, float] = (-1000.0, 1000.0)) -> Tensor:
    """Stored values -> float32 in 0..1.

    "0..1": unsigned integers / the largest of their type, floats as they are. "HU": `window` (low, high) to 0..1, clipped.
    DataError for any other unit: values on an arbitrary scale must be standardised when the data are prepared.
    """
    if unit == "0..1" and (x.dtype in LARGEST or x.is_floating_point()):
        return x.float().div_(LARGEST[x.dtype]) if x.dtype in LARGEST else x.float()
    if unit == "HU":
        low, high = window
        return x.float().sub(low).div_(high - low).clamp_(0, 1)
    raise DataError(
        f"values of type {str(x.dtype).removeprefix('torch.')} in unit '{unit}' have no known range",
        remedy="Prepare the scans to 0..1 or HU first.",
    )


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, ...) with as many axes as `x`."""
    return values.view(-1, *(1,) * (x.ndim - 1))


def sample_mean(x: Tensor) -> Tensor:
    """(B, C, *S) -> (B, 1, ..., 1). In two steps, so that no sum is split between threads when the batch holds one sample."""
    return x.mean(-1, keepdim=True).mean(tuple(range(1, x.ndim)), keepdim=True)


def luminance(x: Tensor) -> Tensor:
    """(B, 1 or 3, *S) -> (B, 1, *S)."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(1)
    return (red * LUMINANCE[0]).add_(green, alpha=LUMINANCE[1]).add_(blue, alpha=LUMINANCE[2]).unsqueeze(1)


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue, each at random strength, in random order (torchvision's ColorJitter).

    Factors are uniform in [1 - s, 1 + s], hue shifts uniform in [-hue, hue] turns; with probability 1 - p nothing changes.
    On one grey channel saturation and hue are the identity, and only the order of brightness and contrast matters.
    Parameters: 3 factors, hue, and the place (0..3) of each of the four in the order.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    p: float = 0.8
    width = 8

    def draw(self, rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
        """(8,) float32."""
        on, *u = rng.random(9).tolist()  # one call: drawing singly costs as much as cutting the crop
        if on >= self.p:
            return np.array((1, 1, 1, 0, 0, 1, 2, 3), np.float32)
        spreads = (self.brightness, self.contrast, self.saturation)
        factors = (max(0, 1 - s) + (1 + s - max(0, 1 - s)) * v for s, v in zip(spreads, u, strict=False))
        order = sorted(range(4), key=u[4:].__getitem__)
        return np.array((*factors, self.hue * (2 * u[3] - 1), *order), np.float32)

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S), (B, 8) -> (B, C, *S)."""
        strength, place = params[:, :4], params[:, 4:]
        if x.shape[1] == 1:  # saturation and hue drop out of the order
            second = place[:, :1] > place[:, 1:2]
            place = torch.cat([second, ~second], 1).float()
        now = place[:, :, None] == torch.arange(place.shape[1], device=x.device)  # (B, which of the four, turn)
        factors = torch.where(now[:, :2], strength[:, :2, None], 1)  # 1 where it is another's turn
        for turn in range(place.shape[1]):
            x = scale_and_contrast(x, *factors[:, :, turn].unbind(1))
            if x.shape[1] == 3:
                x = _replace(x, now[:, 2, turn] & (strength[:, 2] != 1), strength[:, 2], saturate)
                x = _replace(x, now[:, 3, turn] & (strength[:, 3] != 0), strength[:, 3], shift_hue)
        return x


def scale_and_contrast(x: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """(B, C, *S), (B,), (B,) -> x brightness contrast + (1 - contrast) mean grey, clipped: either where the other is 1."""
    shift = (1 - per_sample(contrast, x)) * sample_mean(luminance(x))
    return (x * per_sample(brightness * contrast, x)).add_(shift).clamp_(0, 1)


def _replace(x: Tensor, chosen: Tensor, strength: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A copy of `x` whose chosen samples went through change(samples, strength)."""
    index = chosen.nonzero().squeeze(1)
    if len(index) == 0:
        return x
    return x.index_copy(0, index, change(x[index], strength[index]))


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """(B, 3, *S), (B,) -> (B, 3, *S): away from (factor > 1) or towards (< 1) the grey image."""
    factor = per_sample(factor, x)
    return (x * factor).add_(luminance(x) * (1 - factor)).clamp_(0, 1)


def shift_hue(x: Tensor, turns: Tensor) -> Tensor:
    """(B, 3, *S) RGB, (B,) turns of the hue circle -> (B, 3, *S)."""
    red, green, blue = x.unbind(1)
    value, spread = x.amax(1), x.amax(1) - x.amin(1)
    safe = spread.clamp_min(torch.finfo(x.dtype).tiny)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = hue + 6 * per_sample(turns, hue)
    channels = [(hue + n) % 6 for n in (5, 3, 1)]  # value - spread * trapezium: the closed form of HSV -> RGB
    return torch.stack([value - spread * torch.minimum(k, 4 - k).clamp(0, 1) for k in channels], 1)


@dataclass(frozen=True)
class RandomGrayscale:
    """Colour replaced by its grey with probability p (MoCo-v2: 0.2); the identity on one channel. Parameter: 1 or 0."""

    p: float = 0.2
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
        """(1,) float32."""
        return np.array([rng.random() < self.p], np.float32)

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S), (B, 1) -> (B, C, *S)."""
        return torch.where(per_sample(params[:, 0] > 0, x), luminance(x), x) if x.shape[1] == 3 else x


@dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur of deviation uniform in `sigma` voxels, with probability p, edges repeated (as Pillow repeats them).

    The kernel is sampled at whole voxels up to 3 sigma. Parameter: sigma, 0 for none.
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> NDArray[np.float32]:
        """(1,) float32."""
        on, u = rng.random(2).tolist()
        low, high = self.sigma
        return np.array([low + (high - low) * u if on < self.p else 0], np.float32)

    def apply(self, x: Tensor, params: Tensor) -> Tensor:
        """(B, C, *S), (B, 1) -> (B, C, *S). Samples of like sigma go together, so that few taps are wasted on zeros."""
        sigma, order = params[:, 0].sort(descending=True)
        blurred = int((sigma > 0).sum())
        if blurred == 0:
            return x
        taps = gaussian_taps(sigma[:blurred])
        size = BLUR_CHUNK if x.device.type == "cpu" else blurred
        out = x.clone()
        for index, some in zip(order[:blurred].split(size), taps.split(size, dim=1), strict=True):
            out.index_copy_(0, index, separable_filter(x[index], some))
        return out


def gaussian_taps(sigma: Tensor) -> Tensor:
    """(B,) sigma > 0 in voxels -> (1 + radius, B): the weight at 0, 1, ... voxels from the centre, exactly 0 beyond 3 sigma.

    One side of a symmetric kernel of sum 1. The sum is cumulative: added in one order, whatever else is in the batch.
    """
    reach = torch.ceil(3 * sigma)
    distance = torch.arange(int(reach.max()) + 1, device=sigma.device)[:, None]
    taps = torch.exp(-0.5 * (distance / sigma) ** 2) * (distance <= reach)
    return taps / (2 * taps.cumsum(0)[-1] - taps[0])


def separable_filter(x: Tensor, taps: Tensor) -> Tensor:
    """(B, C, *S) filtered along every axis of S by the symmetric kernels (1 + radius, B); edges are repeated.

    Sums of shifted images: a tap of weight 0 changes no bit, so a sample comes out the same beside any other.
    """
    radius = int(taps.any(1).sum()) - 1
    weights = [per_sample(tap, x) for tap in taps[: radius + 1]]
    for axis in range(2, x.ndim):
        n = x.shape[axis]
        padded = x.index_select(axis, torch.arange(-radius, n + radius, device=x.device).clamp(0, n - 1))
        x, pair = x * weights[0], torch.empty_like(x)
        for j in range(1, radius + 1):
            torch.add(padded.narrow(axis, radius - j, n), padded.narrow(axis, radius + j, n), out=pair)
            x.addcmul_(pair, weights[j])
    return x
