"""A backbone over images: one vector an image, a vector everywhere, or vectors at points. Nothing in it changes.

Letters: N images, C channels, *S voxels along ndim axes, P points, D features. All results are fp32, on the CPU.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from vesalius.data.cache import CachedScan
from vesalius.errors import DataError
from vesalius.models.backbone import Backbone, pool
from vesalius.models.voxels import at_voxels
from vesalius.space.box import Box
from vesalius.views.crops import resize_axes
from vesalius.views.intensity import to_unit

SIDE = 0.22  # of a landmark patch, of the image's short side: 224 of 1,024 px in Adam, Fig. 4.1


@contextmanager
def evaluating(backbone: Backbone | nn.Module) -> Iterator[None]:
    """No gradients, and evaluation mode; every module's own mode is put back afterwards."""
    modules = list(backbone.modules()) if isinstance(backbone, nn.Module) else []
    training = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.inference_mode():
            yield
    finally:
        for module, was in zip(modules, training, strict=True):
            module.training = was


def dense(backbone: Backbone, images: Tensor, batch: int = 16) -> list[Tensor]:
    """(N, C, *S) in 0..1 -> the pyramid, [(N, C_i, *S_i), ...], finest first."""
    with evaluating(backbone):
        pyramids = [[level.float().cpu() for level in backbone(part)] for part in _parts(backbone, images, batch)]
    return [torch.cat(levels) for levels in zip(*pyramids, strict=True)]


def pooled(backbone: Backbone, images: Tensor, batch: int = 64) -> Tensor:
    """(N, C, *S) in 0..1 -> (N, D): mean over space of the coarsest level, taken in fp32."""
    with evaluating(backbone):
        vectors = [pool(backbone(part)).cpu() for part in _parts(backbone, images, batch)]
    return torch.cat(vectors)  # outside of inference mode, so that a probe may train on it


def at_points(backbone: Backbone, image: Tensor, points: ArrayLike, level: int | None = None) -> Tensor:
    """(C, *S) in 0..1 and (P, ndim) voxel coordinates -> (P, D), as `look_up` in the image's pyramid."""
    return look_up(backbone, dense(backbone, image[None]), points, level)


def of_voxels(backbone: Backbone) -> bool:
    """Whether its finest level has a cell for each voxel, as vox2vec's pyramid: then each voxel has a vector of its own."""
    return backbone.strides[0] == 1


def look_up(backbone: Backbone, pyramid: Sequence[Tensor], points: ArrayLike, level: int | None = None) -> Tensor:
    """[(1, C_i, *S_i), ...] and (P, ndim) voxel coordinates -> (P, sum of C_i), or (P, C_level) of one level, fp32.

    Of an encoder of voxels the vector of the nearest voxel, as in its training; of others `sample`, between cells.
    """
    if not of_voxels(backbone):
        return sample(pyramid, backbone.strides, points, level, origins(backbone))
    at = _coordinates(points, pyramid[0].ndim - 2)
    last = torch.tensor(pyramid[0].shape[2:]) - 1
    voxels = (at + 0.5).floor().long().clamp(min=torch.zeros_like(last), max=last)
    chosen = slice(None) if level is None else slice(level, level + 1 or None)
    return at_voxels(pyramid[chosen], backbone.strides[chosen], voxels[None])[0].float()


def origins(backbone: Backbone) -> tuple[float, ...]:
    """The voxel coordinate of the middle of cell 0, of each level: `backbone.origins`, else (stride - 1) / 2.

    The latter holds where cell i sees voxels s * i up to s * (i + 1), as after pooling or patch embedding. Padded strided
    convolutions, as in a ResNet, see around voxel s * i: there it is 0.
    """
    return tuple(getattr(backbone, "origins", ((stride - 1) / 2 for stride in backbone.strides)))


def sample(
    pyramid: Sequence[Tensor],
    strides: Sequence[int],
    points: ArrayLike,
    level: int | None = None,
    origins: Sequence[float] | None = None,
) -> Tensor:
    """[(1, C_i, *S_i), ...] and (P, ndim) voxel coordinates -> (P, sum of C_i), or (P, C_level) of one level.

    Linear between cells: voxel p lies at (p - origin) / stride, by default at (p + 0.5) / stride - 0.5; beyond the
    outermost cell centres the nearest is taken. Raises DataError where points are not (P, ndim) finite numbers.
    """
    first = [(stride - 1) / 2 for stride in strides] if origins is None else origins
    at = _coordinates(points, pyramid[0].ndim - 2)
    levels = range(len(pyramid)) if level is None else [level]
    return torch.cat([_sample_level(pyramid[i], (at - first[i]) / strides[i]) for i in levels], 1)


def patches(source: Tensor | CachedScan, points: ArrayLike, side: float = SIDE, size: int = 224) -> Tensor:
    """Square or cubic patches around points: (P, ndim) voxel coordinates -> (P, C, size, ...) in 0..1.

    source: (C, *S) in 0..1, or a cached scan, of which only the patches are read. side: share of the shortest axis.
    Outside of the image is 0. Raises DataError where a point is not in the image.
    """
    shape = tuple(source.shape[1:] if isinstance(source, Tensor) else source.shape)
    centres = np.atleast_2d(np.asarray(points, np.float64))
    if centres.shape[1] != len(shape) or not ((centres >= -0.5) & (centres <= np.array(shape) - 0.5)).all():
        raise DataError(f"points {centres.tolist()} do not all lie in an image of shape {shape}")
    boxes = [patch_box(centre, max(1, round(side * min(shape)))) for centre in centres]
    return torch.stack([resize_axes(_padded(source, box, shape), (size,) * len(shape)) for box in boxes])


def patch_box(centre: ArrayLike, side: int) -> Box:
    """The box of `side` voxels along each axis whose middle is nearest to `centre`; it may reach out of the image."""
    start = np.floor(np.asarray(centre, np.float64) + 1 - side / 2).astype(int)
    return Box(tuple(start.tolist()), tuple((start + side).tolist()))


def _parts(backbone: Backbone, images: Tensor, batch: int) -> Iterator[Tensor]:
    parameter = next(backbone.parameters(), None) if isinstance(backbone, nn.Module) else None
    device = images.device if parameter is None else parameter.device
    return (images[i : i + batch].to(device) for i in range(0, len(images), batch))


def _coordinates(points: ArrayLike, ndim: int) -> Tensor:
    at = torch.from_numpy(np.array(points, np.float64))
    if at.ndim != 2 or at.shape[1] != ndim or not at.isfinite().all():
        raise DataError(f"points of shape {tuple(at.shape)} are not finite (P, {ndim}) coordinates")
    return at


def _sample_level(level: Tensor, at: Tensor) -> Tensor:
    """(1, C, *S), (P, ndim) in cells -> (P, C)."""
    ndim = at.shape[1]
    cells = torch.tensor(level.shape[2:], dtype=at.dtype)
    grid = ((2 * at + 1) / cells - 1).flip(1)  # grid_sample wants the last axis first
    grid = grid.to(level).reshape(1, -1, *(1,) * (ndim - 1), ndim)
    found = functional.grid_sample(level, grid, padding_mode="border", align_corners=False)
    return found[0].flatten(1).T.contiguous()


def _padded(source: Tensor | CachedScan, box: Box, shape: tuple[int, ...]) -> Tensor:
    """(C, *box.shape) in 0..1: the voxels of the box, 0 where it reaches out of the image."""
    inside = box.intersect(Box.whole(shape))
    if isinstance(source, Tensor):
        voxels = source[(slice(None), *inside.slices)]
    else:
        voxels = to_unit(torch.from_numpy(source.read(inside)), source.unit)
    before = [a - b for a, b in zip(inside.start, box.start, strict=True)]
    after = [b - a for a, b in zip(inside.stop, box.stop, strict=True)]
    pairs = list(zip(before, after, strict=True))
    return functional.pad(voxels, [n for pair in reversed(pairs) for n in pair])
