"""The pyramid of one whole image, computed window by window where it does not fit into memory.

Windows begin at multiples of the coarsest stride, so that their cells are cells of the whole image, and each gives its
middle: what lies within a margin of a border that is not the image's own is thrown away. Where the margin is at least as
far as the network looks, the result does not depend on where windows lie. A deep pyramid looks further than any window
(vox2vec's coarsest level several hundred voxels): its coarse levels then know less of what lies beyond the window, and zeros
that pad it stand there instead. So the whole image is seen at once where it has at most MOST voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from vesalius.errors import DataError, SettingError
from vesalius.features.vectors import dense
from vesalius.models.backbone import Backbone

MOST = 2**23  # voxels seen at once: vox2vec's pyramid of width 16 then takes about 3 GB
LEAST = 4  # a window's side, in cells of the coarsest level: a quarter of it is margin


@dataclass(frozen=True)
class Span:
    """Of one axis, in voxels: a window from start to stop, which gives what lies from first to last."""

    start: int
    stop: int
    first: int
    last: int


def pyramid(
    backbone: Backbone, image: Tensor, window: Sequence[int] | None = None, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """(C, *S) in 0..1 -> [(C_i, *S_i), ...], finest first, on the CPU.

    window: sides in voxels, rounded up to whole cells of the coarsest level, LEAST of them at least; by default the whole
    image, halved along its longest side until it has at most MOST voxels. DataError: features beyond what `dtype` holds.
    """
    shape, coarsest = tuple(image.shape[1:]), max(backbone.strides)
    sides = default(shape, coarsest) if window is None else rounded(window, coarsest)
    if all(side >= n for side, n in zip(sides, shape, strict=True)):
        return [_as(level[0], dtype) for level in dense(backbone, image[None])]
    axes = [spans(n, side, coarsest) for n, side in zip(shape, sides, strict=True)]
    found = [
        torch.empty(c, *(-(-n // stride) for n in shape), dtype=dtype)
        for c, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    for place in product(*axes):
        part = image[(slice(None), *(slice(span.start, span.stop) for span in place))]
        for level, seen, stride in zip(found, dense(backbone, part[None]), backbone.strides, strict=True):
            _paste(level, _as(seen[0], dtype), place, stride)
    return found


def default(shape: Sequence[int], coarsest: int) -> tuple[int, ...]:
    """Sides of the window: those of the image, the longest halved until there are at most MOST voxels, or all are short."""
    sides = [-(-n // coarsest) * coarsest for n in shape]
    while torch.Size(sides).numel() > MOST and max(sides) > LEAST * coarsest:
        at = sides.index(max(sides))
        sides[at] = rounded([sides[at] / 2], coarsest)[0]
    return tuple(sides)


def rounded(window: Sequence[float], coarsest: int) -> tuple[int, ...]:
    """Sides in voxels, up to whole cells of the coarsest level, LEAST of them at least."""
    return tuple(max(LEAST, int(-(-side // coarsest))) * coarsest for side in window)


def spans(side: int, window: int, coarsest: int) -> list[Span]:
    """An axis of `side` voxels in windows; a quarter of each, in whole cells, is margin. Middles join without a gap."""
    margin = window // 4 // coarsest * coarsest
    starts = [0]
    while starts[-1] + window < side:
        starts.append(starts[-1] + window - 2 * margin)
    stops = [min(start + window, side) for start in starts]
    firsts = [start + margin if start else 0 for start in starts]
    return [Span(*four) for four in zip(starts, stops, firsts, [*firsts[1:], side], strict=True)]


def _paste(level: Tensor, seen: Tensor, place: Sequence[Span], stride: int) -> None:
    """The middle of a window, in the cells of one level, to where it belongs."""
    if tuple(seen.shape[1:]) != tuple(-(-(span.stop - span.start) // stride) for span in place):
        reason = f"a level of stride {stride} is not as large as its image by {stride}, rounded up"
        raise SettingError(reason, remedy="This network cannot see an image in windows: give it a smaller image.")
    there = tuple(slice(span.first // stride, -(-span.last // stride)) for span in place)
    here = tuple(slice(at.start - span.start // stride, at.stop - span.start // stride) for at, span in
                 zip(there, place, strict=True))  # fmt: skip
    level[(slice(None), *there)] = seen[(slice(None), *here)]


def _as(level: Tensor, dtype: torch.dtype) -> Tensor:
    made = level.to(dtype)
    if dtype != level.dtype and not made.isfinite().all():
        raise DataError(f"features are beyond what {dtype} holds", remedy="Ask for float32.")
    return made
