"""Two views of a scan: cut on the host, with the numbers of their augmentations drawn there; finished on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesalius.space.box import Box
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.crops import cut_all, random_resized_box
from vesalius.views.intensity import ToUnit


def cut_pair(
    rng: np.random.Generator, scan: Any, part: Box, size: int, scale: tuple[float, float], row: Sequence[Augmentation]
) -> dict[str, np.ndarray]:
    """Two random resized crops of `part`: pixels (2, C, size, ...) in the stored type; draw (2, P), the numbers of `row`."""
    boxes = [random_resized_box(rng, part, scale) for _ in range(2)]
    pixels = cut_all(scan, boxes, (size,) * part.ndim)
    return {"pixels": pixels, "draw": np.stack([draw_all(row, rng, part.ndim) for _ in boxes])}


def finish(batch: Mapping[str, Tensor], row: Sequence[Augmentation]) -> tuple[Tensor, Tensor]:
    """A batch of pairs -> two (B, C, *S) float in 0..1, augmented by `row`."""
    pixels, draw = (batch[name].transpose(0, 1).flatten(0, 1) for name in ("pixels", "draw"))
    unit = "HU" if pixels.dtype == torch.int16 else "0..1"
    first, second = apply_all((ToUnit(unit), *row), pixels, draw).chunk(2)
    return first, second


def relative(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """(2 * ndim,) int32: start and stop of `box` in 1/10,000 of the image's sides, comparable between images."""
    return np.asarray(np.rint(box.array() * 10_000 / np.array((*shape, *shape))), np.int32)
