"""Large crops of a scan, and small ones: which boxes, and their voxels at the sizes the network sees (PCRLv2).

A rule says which boxes. `MultiCrop` takes large and small ones anywhere, by their share of the image (PCRLv2 in 2-D).
`SubCrops` takes two large ones of listed sizes that overlap, and small ones within the hull of both (PCRLv2 in 3-D). Both
work in 2-D and in 3-D. Of a list of sizes and of a margin, 2-D takes the first two sides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import DataError
from vesalius.space.box import Box
from vesalius.views.crops import Readable, cut_within, hull, part, random_resized_box, resize

AIR = -150.0  # HU, below which a voxel is air: the reference code of PCRLv2
DARK = 0.05  # of 0..1, below which a voxel is as good as air: ours
TRIES = 30  # at boxes that hold enough, and not too much, tissue; at each small one that holds enough
# Of large boxes and of small ones, voxels at 1 mm: the reference code's.
LARGE: tuple[tuple[int, int, int], ...] = ((96, 96, 64), (96, 96, 96), (112, 112, 64), (64, 64, 32))
SMALL: tuple[tuple[int, int, int], ...] = ((32, 32, 16), (16, 16, 16), (32, 32, 32), (8, 8, 8))
PAIRS, ROUNDS = 256, 100  # pairs of boxes that are drawn at once; how often
LITTLE = 0.01  # share of a crop that may lie beyond the scan without a word

Sides = tuple[int, ...]


class Measured(Readable, Protocol):
    """What nested crops need of a cached scan."""

    @property
    def unit(self) -> str:
        """Of the stored values."""
        ...


class Rule(Protocol):
    """Which boxes of a scan of `shape` are cut."""

    def large(self, rng: np.random.Generator, shape: Sides) -> tuple[Box, Box]:
        """Two large boxes."""
        ...

    def small(self, rng: np.random.Generator, shape: Sides, large: Sequence[Box]) -> Box:
        """A small box."""
        ...

    def inside(self, shape: Sides) -> float:
        """The least share of a large box that the scan has; 1 where none is clamped."""
        ...


@dataclass(frozen=True)
class MultiCrop:
    """Random resized crops anywhere, of a share of the image within these: the reference code's in 2-D."""

    scale: tuple[float, float] = (0.3, 1.0)
    small_scale: tuple[float, float] = (0.05, 0.3)

    def large(self, rng: np.random.Generator, shape: Sides) -> tuple[Box, Box]:
        """Two boxes, independent of each other."""
        whole = Box.whole(shape)
        return random_resized_box(rng, whole, self.scale), random_resized_box(rng, whole, self.scale)

    def small(self, rng: np.random.Generator, shape: Sides, large: Sequence[Box]) -> Box:
        """A box anywhere in the scan."""
        return random_resized_box(rng, Box.whole(shape), self.small_scale)

    def inside(self, shape: Sides) -> float:
        """1: a share of an image is always within it."""
        return 1.0


@dataclass(frozen=True)
class SubCrops:
    """Two large boxes of listed sizes that overlap, and small ones anywhere within their hull; all in voxels.

    The defaults are the reference code's in 3-D, at 1 mm, but for `beyond`: its small boxes may reach 3 voxels out of the
    hull, and so out of the scan; here at most to the scan's border. A side of a box that the scan does not have is
    clamped to the scan's; a margin that leaves the box no room is a quarter of the room there is.
    """

    sizes: tuple[Sides, ...] = LARGE
    margin: Sides = (70, 70, 15)  # of the scan, on either side, in which no large box lies
    least_iou: float = 0.3
    small_sizes: tuple[Sides, ...] = SMALL
    beyond: int = 0

    def large(self, rng: np.random.Generator, shape: Sides) -> tuple[Box, Box]:
        """Sizes and places drawn evenly and apart, until the intersection is over `least_iou` of the union.

        The law of one try after the other, many tries at once. After 25,600 in vain, as happens with few sizes
        and a least_iou near its limit, the second is the first.
        """
        sides = np.minimum([size[: len(shape)] for size in self.sizes], shape)  # (sizes, ndim)
        free = shape - sides
        margin = np.array(self.margin[: len(shape)])
        edge = np.where(2 * margin <= free, margin, free // 4)
        for _ in range(ROUNDS):
            which = rng.integers(len(sides), size=(PAIRS, 2))
            start = edge[which] + rng.integers((free - 2 * edge)[which] + 1)  # (PAIRS, 2, ndim)
            stop = start + sides[which]
            shared = (stop.min(1) - start.max(1)).clip(0).prod(1)
            union = sides[which].prod(2).sum(1) - shared
            accepted = np.flatnonzero(shared > self.least_iou * union)
            if len(accepted):
                break
        pair = accepted[0] if len(accepted) else 0
        first, second = (
            Box(tuple(a), tuple(b)) for a, b in zip(start[pair].tolist(), stop[pair].tolist(), strict=True)
        )
        return first, second if len(accepted) else first

    def small(self, rng: np.random.Generator, shape: Sides, large: Sequence[Box]) -> Box:
        """A size drawn evenly, then any place within the hull of `large` (and `beyond`) as likely as another."""
        around = hull(large)
        start = tuple(max(0, a - self.beyond) for a in around.start)
        stop = tuple(min(n, b + self.beyond) for b, n in zip(around.stop, shape, strict=True))
        size = self.small_sizes[int(rng.integers(len(self.small_sizes)))][: len(shape)]
        room = Box(start, stop)
        return room.place(rng, tuple(map(min, size, room.shape)))

    def inside(self, shape: Sides) -> float:
        """The least share of a listed size that fits into the scan."""
        sizes = [size[: len(shape)] for size in self.sizes]
        return min(float(np.prod(np.minimum(size, shape) / size)) for size in sizes)


def nested_crops(
    rng: np.random.Generator,
    scan: Measured,
    rule: Rule,
    size: Sides,
    small_size: Sides,
    small: int = 6,
    tissue: tuple[float, float] = (0.0, 1.0),
) -> dict[str, NDArray[Any]]:
    """Two large crops and `small` small ones, as stored, by `rule`; drawn anew until each holds enough tissue.

    globals (2, C, *size), locals (L, C, *small_size) in the stored type; global_boxes (2, 2 ndim), locals_boxes
    (L, 2 ndim) int32, start and stop in the scan's voxels; inside () float32, the least share of a large box that the scan
    has (1 where none is clamped); tissue () float32, the lesser share of the two large crops that is not air.

    tissue: the least and the largest share of a large crop that is not air, at the size the network sees; the least also of
    a small one, as stored: what is all air can be told from nothing. (0, 1) takes all. After 30 tries in vain, the boxes
    that came nearest, of a scan without tissue too: a run does not end for one image (`holds_tissue` tells before it
    begins).
    """
    best = _nearest(_try(rng, scan, rule, size, tissue) for _ in range(TRIES))
    inner = [_nearest(_try_small(rng, scan, rule, best, tissue[0]) for _ in range(TRIES)) for _ in range(small)]
    locals_ = np.empty((small, len(best.image), *small_size), best.image.dtype)
    for view, one in zip(locals_, inner, strict=True):
        view[...] = resize(one.image, small_size)
    return {
        "globals": best.views,
        "locals": locals_,
        "global_boxes": np.stack([box.array() for box in best.boxes]),
        "local_boxes": np.array([one.boxes[0].array() for one in inner], np.int32).reshape(-1, 2 * len(size)),
        "inside": np.array(rule.inside(scan.shape), np.float32),
        "tissue": np.array(best.tissue, np.float32),
    }


def shorter(log: Mapping[str, float]) -> list[str]:
    """The alarm of a training's log where scans are shorter than the crops asked for (`inside`, as `clamped` there)."""
    share = log.get("clamped", 0.0)
    what = f"the smallest crops have {share:.0%} fewer voxels than asked for, in scans that are shorter"
    return [f"clamped: {what}; lower method.sizes if that is much"] if share >= LITTLE else []


def refuse_unrestorable(scan: Measured) -> None:
    """DataError for values on no known scale: what is restored must mean the same in all images."""
    if scan.unit == "arbitrary":
        remedy = "Prepare them to HU or 0..1 first (the step ToUint8)."
        path = getattr(scan, "path", None)
        raise DataError("values on an arbitrary scale cannot be restored", file=path, remedy=remedy)


def refuse_small(shape: Sides, view: Sides, setting: str) -> None:
    """DataError where a side of the image is below a quarter of a view's, which `setting` says: the rest would be guessed."""
    if any(4 * side < whole for side, whole in zip(shape, view, strict=True)):
        sides, wanted = (" x ".join(map(str, numbers)) for numbers in (shape, view))
        reason = f"{sides} voxels are less than a quarter of a view of {wanted}"
        raise DataError(reason, remedy=f"Lower {setting}, or leave the image out.")


@dataclass(frozen=True)
class _Try:
    """Boxes, what was read of the scan, the crops at their size, the least share of tissue, and how far it is off."""

    boxes: Sequence[Box]
    whole: Box
    image: NDArray[Any]
    views: NDArray[Any]
    tissue: float
    amiss: float


def _nearest(tries: Iterable[_Try]) -> _Try:
    """The first of `tries` that is not amiss, or else that which is least so."""
    best: _Try | None = None
    for one in tries:
        best = one if best is None or one.amiss < best.amiss else best
        if not best.amiss:
            break
    assert best is not None
    return best


def _try(rng: np.random.Generator, scan: Measured, rule: Rule, size: Sides, tissue: tuple[float, float]) -> _Try:
    """Two large boxes."""
    boxes = rule.large(rng, scan.shape)
    whole = hull(boxes)
    image = scan.read(whole)
    views = cut_within(image, whole, boxes, size)
    shares = [tissue_share(view, scan.unit) for view in views]
    amiss = max(0.0, tissue[0] - min(shares), max(shares) - tissue[1])
    return _Try(boxes, whole, image, views, min(shares), amiss)


def _try_small(rng: np.random.Generator, scan: Measured, rule: Rule, large: _Try, least: float) -> _Try:
    """A small box: what the large ones have read of the scan is not read again."""
    box = rule.small(rng, scan.shape, large.boxes)
    image = part(large.image, large.whole, box) if large.whole.contains(box) else scan.read(box)
    share = tissue_share(image, scan.unit) if least else 1.0
    return _Try((box,), box, image, image[None], share, max(0.0, least - share))


def holds_tissue(scan: Measured) -> bool:
    """Whether any voxel is not air. Where its middle shows some, as nearly always, little of the scan is read."""
    middle = Box(tuple(3 * n // 8 for n in scan.shape), tuple(-(-5 * n // 8) for n in scan.shape))
    return any(tissue_share(scan.read(box), scan.unit) > 0 for box in (middle, Box.whole(scan.shape)))


def tissue_share(image: NDArray[Any], unit: str) -> float:
    """(C, *S) as stored -> the share of voxels, 0..1, that are not air in every channel.

    In 3-D air right below tissue on the last axis counts half, as in the reference code (which looks at three slices, and
    weighs them 1, 1/2 and 0; it looks past the crop's end, and this does not).
    """
    least = AIR if unit == "HU" else DARK * (np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1)
    tissue: NDArray[Any] = np.any(image >= least, axis=0)
    share = tissue.mean()
    if tissue.ndim == 3:
        share += 0.5 * (tissue[..., 1:] & ~tissue[..., :-1]).sum() / tissue.size
    return float(share)
