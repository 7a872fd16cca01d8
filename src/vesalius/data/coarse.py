"""Which volumes had voxels coarser than was asked for, and whether they kept them: what the step Spacing did, in words."""

from collections.abc import Sequence

from vesalius.data.cache import Cache, CachedScan, Entry
from vesalius.space.resample import shape_at_spacing

Coarse = dict[int, float]  # axis -> mm


def kept_coarser(entries: Sequence[Entry], mm: tuple[float, ...]) -> str:
    """A sentence of prepared scans that have an axis coarser than `mm` asked; "" where none has, or nothing was asked."""
    found = [_coarser(entry, mm) for entry in entries]
    return _sentence(found, mm, "have", "keep them, since nothing is upsampled")


def upsampled(cache: Cache, mm: tuple[float, ...]) -> str:
    """A sentence of scans that had an axis coarser than `mm` and were given finer voxels; "" where none was.

    It opens each scan's file: what a scan was before stands there alone. DataError: one is gone or damaged.
    """
    found = [_finer(scan) for scan in cache]
    return _sentence(found, mm, "had", "are upsampled, which adds no detail")


def _sentence(found: Sequence[Coarse], mm: tuple[float, ...], had: str, so: str) -> str:
    coarse = [axes for axes in found if axes]
    if not coarse:
        return ""
    parts = []
    for axis, name in enumerate("xyz"):
        sides = [axes[axis] for axes in coarse if axis in axes]
        if sides:
            ends = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (min(sides), max(sides))))
            parts.append(f"{name} {ends} mm in {len(sides):,}")
    asked, counts = " x ".join(f"{side:g}" for side in mm), f"{len(coarse):,} of {len(found):,}"
    return f"{counts} volumes {had} voxels coarser than the {asked} mm asked, and {so}: {', '.join(parts)}"


def _coarser(entry: Entry, mm: tuple[float, ...]) -> Coarse:
    """The axes that would have needed more voxels than there are."""
    if entry.spacing is None or len(entry.spacing) != len(mm):
        return {}
    wanted = shape_at_spacing(entry.shape[1:], entry.spacing, mm)
    return {a: entry.spacing[a] for a, n in enumerate(wanted) if n > entry.shape[1 + a]}


def _finer(scan: CachedScan) -> Coarse:
    """The axes that were given more voxels than there were, with the mm of before."""
    fit = dict(scan.trace).get("Spacing")
    if fit is None or scan.spacing is None:
        return {}
    sides = zip(scan.spacing, fit["from"], fit["to"], strict=True)
    return {a: mm * new / old for a, (mm, old, new) in enumerate(sides) if new > old}
