"""Random patches of an image, and each patch cut into 2, 3 and 4 parts (Adam, Fig. 4.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vesalius.space.box import Box
from vesalius.views.crops import resize_axes
from vesalius.views.parts import left_right, parts

PARTS = (2, 3, 4)
TRIES = 20


@dataclass(frozen=True, eq=False)
class Cut:
    """R patches at the network's size: wholes (R, C, *size); parts: n -> (R, n, C, *size)."""

    wholes: Tensor
    parts: Mapping[int, Tensor]


@dataclass(frozen=True, eq=False)
class Composition:
    """Their embeddings, not yet of length 1: wholes (R, D); parts: n -> (R, n, D)."""

    patient: str
    wholes: Tensor
    parts: Mapping[int, Tensor]


def cut_patches(rng: np.random.Generator, image: Tensor, count: int, side: float, size: int) -> Cut:
    """(C, *S) in 0..1 -> `count` square (cubic) patches at random places, and their parts, all resized to `size`.

    The side of a patch is `side` to twice `side` of the short side of the image, so that a quarter of the largest is as
    large as a landmark's patch. A patch that shows nothing (flat) is drawn anew, TRIES times at most.
    """
    boxes = [_box(rng, image, side) for _ in range(count)]
    target = (size,) * (image.ndim - 1)

    def views(some: list[Box]) -> Tensor:
        return torch.stack([resize_axes(image[(slice(None), *box.slices)], target) for box in some])

    return Cut(views(boxes), {n: torch.stack([views(split(box, n)) for box in boxes]) for n in PARTS})


def split(box: Box, n: int) -> list[Box]:
    """2: left and right; 4: these halved again, along the next axis; any other n: n strips from left to right."""
    if n in (2, 4):
        return parts(box, n.bit_length() - 1)
    axis = left_right(box.ndim)
    edges = np.rint(np.linspace(box.start[axis], box.stop[axis], n + 1)).astype(int).tolist()
    pairs = pairwise(edges)
    return [
        Box((*box.start[:axis], a, *box.start[axis + 1 :]), (*box.stop[:axis], b, *box.stop[axis + 1 :]))
        for a, b in pairs
    ]


def _box(rng: np.random.Generator, image: Tensor, side: float) -> Box:
    whole = Box.whole(tuple(image.shape[1:]))
    box = whole
    for _ in range(TRIES):
        length = max(4, round(min(whole.shape) * min(1.0, side * (1 + rng.random()))))
        box = whole.place(rng, tuple(min(length, s) for s in whole.shape))
        if image[(slice(None), *box.slices)].std() > 0.05:
            break
    return box
