"""Which volumes kept voxels coarser than was asked for: the step Spacing never upsamples, and says so here."""

from collections.abc import Sequence

from vesalius.data.cache import Entry
from vesalius.space.resample import shape_at_spacing


def kept_coarser(entries: Sequence[Entry], mm: tuple[float, ...]) -> str:
    """A sentence of prepared scans that have an axis coarser than `mm` asked; "" where none has, or nothing was asked."""
    kept = [axes for entry in entries if (axes := _coarser(entry, mm))]
    if not kept:
        return ""
    parts = []
    for axis, name in enumerate("xyz"):
        found = [axes[axis] for axes in kept if axis in axes]
        if found:
            ends = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (min(found), max(found))))
            parts.append(f"{name} {ends} mm in {len(found):,}")
    asked = " x ".join(f"{side:g}" for side in mm)
    return (
        f"{len(kept):,} of {len(entries):,} volumes have voxels coarser than the {asked} mm asked, and keep them, since "
        f"nothing is upsampled: {', '.join(parts)}"
    )


def _coarser(entry: Entry, mm: tuple[float, ...]) -> dict[int, float]:
    """Axis -> mm, of the axes that would have needed more voxels than there are."""
    if entry.spacing is None or len(entry.spacing) != len(mm):
        return {}
    wanted = shape_at_spacing(entry.shape[1:], entry.spacing, mm)
    return {a: entry.spacing[a] for a, n in enumerate(wanted) if n > entry.shape[1 + a]}
