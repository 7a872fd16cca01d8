"""How good a segmentation is: per patient and structure, on boolean masks. Distances through MONAI.

Empty against empty is undefined, not perfect: such a pair gives no number, or 1 where that is asked for, as vox2vec's code
counts it. A structure that was not contoured gives none either.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.settings import unknown

Mask = NDArray[np.bool_]


def dice(found: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|), 0..1; NaN where both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else float("nan")


def iou(found: Mask, truth: Mask) -> float:
    """|A and B| / |A or B|, 0..1; NaN where both are empty."""
    either = int((found | truth).sum())
    return int((found & truth).sum()) / either if either else float("nan")


def hausdorff95(found: Mask, truth: Mask, spacing: Sequence[float] | None = None) -> float:
    """95th percentile of surface distances both ways, in mm (voxels without `spacing`); NaN where one is empty."""
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance  # heavy: not at import

    if not found.any() or not truth.any():
        return float("nan")
    a, b = (torch.from_numpy(mask)[None, None].float() for mask in (found, truth))
    with _quiet():
        far = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=_plain(spacing))
    return float(far)


def surface_dice(found: Mask, truth: Mask, tolerance: float, spacing: Sequence[float] | None = None) -> float:
    """Share of both surfaces that lies within `tolerance` mm (voxels without `spacing`) of the other; NaN where both are
    empty, 0 where one is."""
    from monai.metrics.surface_dice import compute_surface_dice  # heavy: not at import

    if not found.any() or not truth.any():
        return float("nan") if not found.any() and not truth.any() else 0.0
    a, b = (torch.from_numpy(mask)[None, None].float() for mask in (found, truth))
    with _quiet():
        share = compute_surface_dice(a, b, [tolerance], include_background=True, spacing=_plain(spacing))
    return float(share)


def largest_parts(found: Mask) -> Mask:
    """(K, *S) -> (K, *S): of each structure the largest connected part alone, voxels that meet in a corner being connected."""
    from scipy import ndimage  # heavy: not at import

    kept = np.zeros_like(found)
    for mask, part in zip(found, kept, strict=True):
        labels, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0  # what is not the structure
        part[:] = mask & (labels == sizes.argmax())
    return kept


OVERLAPS = {"dice": dice, "iou": iou}
DISTANCES = ("hd95", "surface_dice")


def measured(
    found: Mask,
    truth: Mask,
    names: Sequence[str],
    metrics: Sequence[str],
    tolerance: float,
    spacing: Sequence[float] | None,
    empty: bool = False,
) -> Mapping[tuple[str, str], float]:
    """(K, *S) twice and K names -> (metric, structure) -> value, those that are defined. SettingError: no such metric.

    empty: a structure that is neither there nor found has the overlap 1, and not none.
    """
    ways: dict[str, Callable[[Mask, Mask], float]] = {
        **OVERLAPS,
        "hd95": lambda a, b: hausdorff95(a, b, spacing),
        "surface_dice": lambda a, b: surface_dice(a, b, tolerance, spacing),
    }
    for metric in metrics:
        if metric not in ways:
            raise unknown(metric, metric, tuple(ways), "metric")
    values = {
        (metric, name): ways[metric](a, b) for metric in metrics for name, a, b in zip(names, found, truth, strict=True)
    }
    if empty:
        neither = {name for name, a, b in zip(names, found, truth, strict=True) if not a.any() and not b.any()}
        values |= {(metric, name): 1.0 for metric, name in values if name in neither and metric != "hd95"}
    return {key: value for key, value in values.items() if np.isfinite(value)}


def _plain(spacing: Sequence[float] | None) -> list[float] | None:
    return None if spacing is None else [float(side) for side in spacing]


@contextmanager
def _quiet() -> Iterator[None]:
    """MONAI 1.5 and 1.6 call a part of their own in a way that they deprecate."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*always_return_as_numpy.*", FutureWarning)
        yield
