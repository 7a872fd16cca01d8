"""Pictures of what a method makes of images, kept in the run's folder for the report."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius import checkpoint

MOST = 4  # images
FILE = "pictures.npz"


def write(folder: Path, made: Mapping[str, Tensor]) -> None:
    """Keep `made`, name -> (B, C, *S) in 0..1 of equal shapes: names (K,) and images (B, K, H, W) uint8 in FILE.

    Colours become their mean; of volumes the middle slice across the last axis is kept, front up.
    """
    if not made:
        return
    images = np.stack([flat(value) for value in made.values()], axis=1)
    out = io.BytesIO()
    np.savez_compressed(out, names=np.array(list(made)), images=images)
    checkpoint.write_bytes(folder / FILE, out.getvalue())


def flat(x: Tensor) -> NDArray[np.uint8]:
    """(B, C, *S) in 0..1 -> (B, H, W) grey."""
    grey = x.detach().float().mean(1)
    if grey.ndim == 4:
        grey = grey[..., grey.shape[-1] // 2].transpose(1, 2).flip(1)
    return (255 * grey.clamp(0, 1)).round().to("cpu", torch.uint8).numpy()
