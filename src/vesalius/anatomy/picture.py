"""What a person is shown of a view: a flat grey picture, and where points lie in it."""

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.anatomy.observe import View
from vesalius.space.warp import warp
from vesalius.views.crops import resize_axes

Array = NDArray[np.float64]
SIDE = 256  # px: of the picture's longer side, at most


def picture(view: View) -> NDArray[np.uint8]:
    """(h, w): the image; of a volume, its mean from front to back, feet down."""
    return grey(warp(view.subject.image.numpy(), view.matrix))


def grey(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(C, *S) in 0..1 -> (h, w)."""
    plane = flatten(image.mean(0))
    shrink = min(1.0, SIDE / max(plane.shape))
    size = tuple(max(1, round(side * shrink)) for side in plane.shape)
    small = resize_axes(torch.from_numpy(plane.astype(np.float32))[None], size)[0].numpy()
    return np.asarray(np.rint(255 * small.clip(0, 1)), np.uint8)


def flatten(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """(H, W) stays; (x, y, z) -> its mean along y as (z from the head down, x from the patient's right)."""
    return image if image.ndim == 2 else np.asarray(image.mean(1).T[::-1])


def flat_points(view: View, points: Array) -> Array:
    """(M, ndim) voxels -> (M, 2) row and column in `picture`."""
    shape = view.subject.shape
    flat = points if len(shape) == 2 else np.stack([shape[2] - 1 - points[:, 2], points[:, 0]], axis=1)
    plane = shape if len(shape) == 2 else (shape[2], shape[0])
    shrink = min(1.0, SIDE / max(plane))
    return np.asarray((flat + 0.5) * shrink - 0.5)
