"""Augmentations of brightness: colour jitter, grayscale, blur; and stored units to 0..1."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from vesalius.errors import DataError
from vesalius.views.augment import Augmentation, per_sample, replace

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's "L"
NEUTRAL = (1.0, 1.0, 1.0, 0.0)  # brightness, contrast, saturation, hue that change nothing
BLOCK = 16  # voxels that are filtered together: the fastest of 8, 16, 32
LARGEST = {torch.uint8: 255, torch.uint16: 65535}


HU_WINDOW = (-1350.0, 1000.0)  # what all encoders see of CT as 0 and as 1: vox2vec, methods section 2.2


def to_unit(x: Tensor, unit: str, window: tuple[float, float] = HU_WINDOW) -> Tensor:
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


@dataclass(frozen=True)
class ToUnit(Augmentation):
    """`to_unit` as the first of a row, so that the float image is made where it is used. No parameters."""

    unit: str = "0..1"
    window: tuple[float, float] = HU_WINDOW
    social = True
    width = 0

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(0,)."""
        return ()

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) as stored -> (B, C, *S) float32 in 0..1."""
        return to_unit(x, self.unit, self.window)


def luminance(x: Tensor) -> Tensor:
    """(B, 1 or 3, *S) -> (B, 1, *S)."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(1)
    return (red * LUMINANCE[0]).add_(green, alpha=LUMINANCE[1]).add_(blue, alpha=LUMINANCE[2]).unsqueeze(1)


def uniform(low: float, high: float, u: float) -> float:
    """u in 0..1 -> low..high."""
    return low + (high - low) * u


@dataclass(frozen=True)
class ColorJitter(Augmentation):
    """Brightness, contrast, saturation and hue, each at random strength, in random order (torchvision's ColorJitter).

    Factors are uniform in [1 - s, 1 + s] and not below 0, hue shifts uniform in [-hue, hue] turns; with probability 1 - p
    nothing changes. On one grey channel saturation and hue are the identity.
    Parameters: three factors, hue, and the place (0..3) in the order of each of the four.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    p: float = 0.8
    width = 8

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(8,)."""
        on, *u = rng.random(9).tolist()  # one call: single draws took as long as cutting the crop
        if on >= self.p:
            return 1, 1, 1, 0, 0, 1, 2, 3
        spreads = (self.brightness, self.contrast, self.saturation)
        factors = (uniform(max(0, 1 - s), 1 + s, v) for s, v in zip(spreads, u, strict=False))
        order = sorted(range(4), key=u[4:].__getitem__)
        return *factors, uniform(-self.hue, self.hue, u[3]), *order

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Strengths of `turns`, neutral out of turn: all (B, T), then each as (B, 1, ..., 1)."""
        strength, place = params[:, :4], params[:, 4:]
        if shape[0] == 1:  # only whether brightness or contrast comes first matters
            first = place[:, :1] < place[:, 1:2]
            bright, contrast = strength[:, :1], strength[:, 1:2]
            turns = torch.cat([torch.where(first, bright, 1), contrast, torch.where(first, 1, bright)], 1)
        else:
            now = place[:, None, :] == torch.arange(4, device=params.device)[:, None]  # (B, turn, kind)
            turns = torch.where(now, strength[:, None], torch.tensor(NEUTRAL, device=params.device)).flatten(1)
        return turns, *per_sample(turns, len(shape)).unbind(1)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S), turn by turn."""
        kinds = (0, 1, 0) if x.shape[1] == 1 else (0, 1, 2, 3) * 4
        for kind, values, strength in zip(kinds, terms[0].T.tolist(), terms[1:], strict=True):
            chosen = [value != NEUTRAL[kind] for value in values]
            if any(chosen):
                x = replace(x, chosen, KINDS[kind], strength)
        return x


def brighten(x: Tensor, factor: Tensor) -> Tensor:
    """(B, C, *S), (B, 1, ..., 1) -> x factor, clipped; in place."""
    return x.mul_(factor).clamp_(0, 1)


def raise_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """(B, C, *S), (B, 1, ..., 1) -> away from (factor > 1) or towards (< 1) the mean grey, clipped; in place."""
    grey = luminance(x)
    rows = grey.sum(-1, keepdim=True)  # in two steps, so that no sum is split between threads
    mean = rows.sum(tuple(range(1, x.ndim)), keepdim=True).div_(grey[0].numel())
    weight = factor.item() if factor.numel() == 1 else factor  # a number is four times as fast as a tensor
    return x.lerp_(mean, 1 - weight).clamp_(0, 1)


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """(B, 3, *S), (B, 1, ..., 1) -> away from (factor > 1) or towards (< 1) the grey image, clipped; in place."""
    grey = luminance(x)
    return x.mul_(factor).add_((1 - factor) * grey).clamp_(0, 1)


def shift_hue(x: Tensor, turns: Tensor) -> Tensor:
    """(B, 3, *S) RGB, (B, 1, ..., 1) turns of the hue circle -> (B, 3, *S)."""
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    spread = value - x.amin(1)
    safe = spread.clamp_min(torch.finfo(x.dtype).tiny)
    from_green, from_blue = (blue - red) / safe + 2, (red - green) / safe + 4
    hue = torch.where(value == red, (green - blue) / safe, torch.where(value == green, from_green, from_blue))
    sixths = [(hue + 6 * turns.squeeze(1) + n) % 6 for n in (5, 3, 1)]  # red, green, blue: HSV -> RGB in closed form
    return torch.stack([value - spread * torch.minimum(k, 4 - k).clamp(0, 1) for k in sixths], 1)


KINDS = (brighten, raise_contrast, saturate, shift_hue)


@dataclass(frozen=True)
class RandomGrayscale(Augmentation):
    """Colour replaced by its grey with probability p (MoCo-v2: 0.2); the identity on one channel. Parameter: 1 or 0."""

    p: float = 0.2
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(1,)."""
        return (float(rng.random() < self.p),)

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Whether, (B, 1, ..., 1)."""
        return (per_sample(params[:, 0] > 0, len(shape)),)

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        return torch.where(terms[0], luminance(x), x) if x.shape[1] == 3 else x


@dataclass(frozen=True)
class GaussianBlur(Augmentation):
    """Gaussian blur of deviation uniform in `sigma` voxels, with probability p; edges are repeated, as Pillow does.

    The kernel is a Gaussian sampled at whole voxels up to 3 sigma, of sum 1. Parameter: sigma, 0 for none.
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5
    width = 1

    def draw(self, rng: np.random.Generator, ndim: int) -> tuple[float, ...]:
        """(1,)."""
        on, u = rng.random(2).tolist()
        return (uniform(*self.sigma, u) if on < self.p else 0,)

    def terms(self, params: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Sigma (B,), and the kernel as a matrix (B, BLOCK, BLOCK + 2 R): row i weighs voxels i - R .. i + R of a block."""
        radius = math.ceil(3 * self.sigma[1])
        distance = torch.arange(radius + 2, device=params.device)
        weights = torch.exp(-0.5 * (distance / params.clamp_min(1e-6)) ** 2) * (distance <= torch.ceil(3 * params))
        weights[:, -1] = 0
        weights = weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])
        row, column = (torch.arange(n, device=params.device) for n in (BLOCK, BLOCK + 2 * radius))
        return params[:, 0], weights[:, (column - row[:, None] - radius).abs().clamp_max(radius + 1)]

    def change(self, x: Tensor, *terms: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S)."""
        return replace(x, [sigma > 0 for sigma in terms[0].tolist()], filter_axes, terms[1])


def filter_axes(x: Tensor, band: Tensor) -> Tensor:
    """(B, C, *S) filtered along every axis of S by the kernel of which `band` (B, b, b + 2 R) is the matrix, edges repeated.

    Blocks of b voxels with R more on either side are multiplied by the one small matrix: of all ways the fewest passes
    over the image, and at sigma 2 twice as fast as a sum of shifted images.
    """
    block, reach = band.shape[1:]
    radius, sides = (reach - block) // 2, x.shape[2:]
    x = pad(x, [p for n in reversed(sides) for p in (radius, radius + -n % block)], mode="replicate")
    for axis, side in enumerate(sides, 2):
        windows = x.movedim(axis, 2).unfold(2, reach, block).movedim(-1, 3)  # (B, C, blocks, b + 2 R, the other axes)
        filtered = (band[:, None, None] @ windows.flatten(4)).flatten(2, 3)
        x = filtered.view(filtered.shape[:3] + windows.shape[4:])[:, :, :side].movedim(2, axis)
    return x
