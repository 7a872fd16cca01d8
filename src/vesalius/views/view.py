"""One view of a scan: cut on the host, with the numbers of its augmentations drawn there; finished on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesalius.space.box import Box
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.crops import cut, random_resized_box
from vesalius.views.intensity import to_unit

Sample = dict[str, np.ndarray]


def cut_view(
    rng: np.random.Generator,
    scan: Any,
    part: Box,
    size: int,
    scale: tuple[float, float],
    augment: Sequence[Augmentation],
) -> Sample:
    """pixels (C, size, ...) in the stored type, of a random resized crop of `part`; draw (P,), its augmentations' numbers."""
    box = random_resized_box(rng, part, scale)
    return {"pixels": cut(scan, box, (size,) * part.ndim), "draw": draw_all(augment, rng, part.ndim)}


def pair(first: Sample, second: Sample) -> Sample:
    """Two views as one sample: pixels (2, C, ...), draw (2, P); a batch adds its axis in front."""
    return {name: np.stack([first[name], second[name]]) for name in first}


def finish(batch: Mapping[str, Tensor], augment: Sequence[Augmentation]) -> tuple[Tensor, Tensor]:
    """A batch of pairs -> two (B, C, *S) float in 0..1, augmented. One pass over both views."""
    pixels, draw = batch["pixels"].transpose(0, 1).flatten(0, 1), batch["draw"].transpose(0, 1).flatten(0, 1)
    unit = "HU" if pixels.dtype == torch.int16 else "0..1"
    first, second = apply_all(augment, to_unit(pixels, unit), draw).chunk(2)
    return first, second


def relative(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """(2 * ndim,) int32: start and stop of `box` in 1/10,000 of the image's sides, comparable between images."""
    return np.rint(box.array() * 10_000 / np.array((*shape, *shape))).astype(np.int32)
