"""Restoring an image at several scales (PCRLv2: Zhou et al., TPAMI 2023): pure functions.

L = MSE(final, y) + beta * mean over s of MSE(middle_s, y), beta = (1 + cos(pi * progress)) / 2: what the coarse scales restore
matters at the start, and nothing at the end.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def beta(progress: float) -> float:
    """Weight of the coarse scales: 1 at progress 0, 1/2 half way, 0 at 1. ValueError for progress beyond 0..1."""
    if not 0 <= progress <= 1:
        raise ValueError(f"progress {progress} is not in 0..1")
    return (1 + math.cos(math.pi * progress)) / 2


def squared_error(restored: Tensor, y: Tensor) -> Tensor:
    """(B, C, *S) and (B, 1 or C, *S) -> scalar mean square of their difference, fp32 at least."""
    dtype = torch.promote_types(restored.dtype, torch.float32)
    return (restored.to(dtype) - y.to(dtype)).square().mean()


def restoration(final: Tensor, middle: Sequence[Tensor], y: Tensor, weight: float) -> Tensor:
    """final, and each of middle, (B, C, *S), and the image y (B, 1 or C, *S) -> scalar L; `weight` is beta."""
    loss = squared_error(final, y)
    if middle:
        loss = loss + weight * torch.stack([squared_error(each, y) for each in middle]).mean()
    return loss
