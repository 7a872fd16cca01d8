"""Reads a folder of DICOM slices into one Scan of (x, y, z) voxels with a RAS+ affine in mm.

Slices are sorted by their position along the normal of the slices, never by name or number. What would silently make a
wrong volume is an error: several series or orientations, slices missing, unevenly spaced or twice in one place, and a
tilted gantry, which shifts each slice against the next.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

import numpy as np
from pydicom import dcmread

from vesalius.data.dicom import read_measured
from vesalius.data.files import IMAGE_SUFFIXES, VOLUME_SUFFIXES, is_dicom
from vesalius.data.footprint import parts
from vesalius.data.pixels import decoding, refuse_not_finite
from vesalius.data.scan import Array, Scan
from vesalius.data.volume import SHEAR, TO_RAS, refuse_affine, refuse_shape
from vesalius.errors import DataError
from vesalius.space import affine as space_affine

MODALITIES = ("CT", "MR", "PT")  # those whose slices are parts of a volume
UNEVEN = 0.1  # of the distance between slices: headers round positions
_TAGS = ["Modality", "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
_TAGS += ["Rows", "Columns"]
_LOOKED = 3  # files of a folder that are looked at, since a report may lie among the slices


@dataclass(frozen=True)
class Slice:
    """Where one slice lies, in LPS mm. right, down: (3,) direction of growing column and row; spacing: along them."""

    path: Path
    series: str
    position: Array
    right: Array
    down: Array
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> Array:
        """(3,) unit vector across the slice."""
        across = np.cross(self.right, self.down)
        return np.asarray(across / np.linalg.norm(across))


def gathered(files: Iterable[Path]) -> Iterator[Path]:
    """The files, with those that are slices of a volume replaced by their folder: there is one volume a folder."""
    for folder, group in groupby(files, attrgetter("parent")):
        here = list(group)
        slices = [path for path in here if _may_be_slice(path)]
        if len(slices) < 2 or not any(_holds_slice(path) for path in islice(slices, _LOOKED)):
            yield from here
            continue
        yield folder
        yield from (path for path in here if path not in set(slices))


def _may_be_slice(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in (".dcm", ".dicom"):
        return True
    return not path.name.lower().endswith((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES)) and is_dicom(path)


def _holds_slice(path: Path) -> bool:
    """Whether it is of a modality of volumes and says where it lies. What cannot be read is not: `read` says why."""
    try:
        return header(path) is not None
    except DataError:
        return False


def header(path: Path) -> Slice | None:
    """Where a slice lies; None for what is none, such as a report or a radiograph. DataError where it is broken."""
    with decoding(path, "DICOM", quote=False):
        found = dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(_TAGS))
        geometry = [found.get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")]
        if found.get("Modality") not in MODALITIES or None in geometry or "Rows" not in found:
            return None
        position, axes, spacing = (np.array([float(value) for value in values]) for values in geometry)
        if (len(position), len(axes), len(spacing)) != (3, 6, 2) or not np.isfinite([*position, *axes, *spacing]).all():
            raise ValueError("not as many numbers as a place in space has")
        shape, series = (int(found.Columns), int(found.Rows)), str(found.get("SeriesInstanceUID"))
        sides = float(spacing[1]), float(spacing[0])  # the header's first is from row to row
        return Slice(path, series, position, axes[:3], axes[3:], sides, shape)


def read_series(folder: Path) -> Scan:
    """(1, x, y, z): CT in int16 HU, MR and PET in float32 as measured. DataError names the folder or the file."""
    slices = [found for path in parts(folder) if _may_be_slice(path) and (found := header(path)) is not None]
    if not slices:
        raise DataError("is a folder without DICOM slices", file=folder, remedy="Check the path.")
    _refuse_mixed(folder, slices)
    slices = sorted(slices, key=lambda one: float(one.position @ slices[0].normal))
    refuse_shape(folder, (*slices[0].shape, len(slices)))
    affine = _affine(folder, slices)
    planes = [_plane(one) for one in slices]
    if len({plane.unit for plane in planes}) > 1:
        raise DataError("holds slices in HU and slices that are not", file=folder, remedy="Part the two.")
    image = np.stack([plane.image[0] for plane in planes])  # (z, row, column)
    refuse_not_finite(folder, image)
    first = planes[0]
    return Scan(
        image.transpose(2, 1, 0)[None],
        first.unit,
        patient=first.patient,
        spacing=space_affine.spacing(affine),
        affine=affine,
        meta=first.meta,
    )


def _plane(one: Slice) -> Scan:
    with one.path.open("rb") as file:
        return read_measured(file, one.path)


def _refuse_mixed(folder: Path, slices: Sequence[Slice]) -> None:
    """DataError for several series, sizes, spacings or orientations."""
    remedy = "Give each series a folder of its own."
    series = sorted(Counter(one.series for one in slices).values(), reverse=True)
    if len(series) > 1:
        counts = " and ".join(map(str, series[:5]))
        raise DataError(f"holds {len(series)} DICOM series, of {counts} slices", file=folder, remedy=remedy)
    first = slices[0]
    for what, other in (
        ("size", next((one for one in slices if one.shape != first.shape), None)),
        ("spacing", next((one for one in slices if not np.allclose(one.spacing, first.spacing, 1e-3)), None)),
        ("orientation", next((one for one in slices if not _parallel(one, first)), None)),
    ):
        if other is not None:
            reason = f"holds slices that differ in {what}, such as {first.path.name} and {other.path.name}"
            raise DataError(reason, file=folder, remedy=remedy)


def _parallel(a: Slice, b: Slice) -> bool:
    return np.allclose(a.right, b.right, atol=1e-3) and np.allclose(a.down, b.down, atol=1e-3)


def _affine(folder: Path, slices: Sequence[Slice]) -> Array:
    """(4, 4) voxel -> RAS+ mm of sorted slices. DataError: a gap, two slices in one place, a tilted gantry."""
    first, last = slices[0], slices[-1]
    _refuse_gaps(folder, slices)
    step = (last.position - first.position) / (len(slices) - 1)
    cosine = float(step @ first.normal / np.linalg.norm(step))
    if (tilt := math.acos(min(cosine, 1.0))) > SHEAR:
        reason = f"is a series with a tilted gantry, by {math.degrees(tilt):.1f} degrees: each slice is shifted"
        remedy = "Correct the tilt first, for instance with dcm2niix."
        raise DataError(reason, file=folder, remedy=remedy)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.right * first.spacing[0], first.down * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = step, first.position
    refuse_affine(folder, affine)
    return np.asarray(TO_RAS @ affine)


def _refuse_gaps(folder: Path, slices: Sequence[Slice]) -> None:
    """DataError unless sorted slices follow each other at one distance."""
    along = np.array([one.position @ slices[0].normal for one in slices])
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    odd = int(np.argmax(np.abs(gaps - usual)))
    if (gaps < UNEVEN * max(usual, 0.01)).any():
        twice = int(np.argmin(gaps))
        names = f"{slices[twice].path.name} and {slices[twice + 1].path.name}"
        reason = f"holds two slices in one place ({names}): several series or points of time"
        raise DataError(reason, file=folder, remedy="Give each a folder of its own.")
    missing = int(np.sum(np.rint(gaps / usual) - 1, where=gaps > 1.5 * usual))
    where = f"between {slices[odd].path.name} and {slices[odd + 1].path.name}, {gaps[odd]:.4g} mm apart"
    if missing:
        reason = f"is a series with {missing} slice(s) missing: the widest gap is {where}, others {usual:.4g} mm"
        raise DataError(reason, file=folder, remedy="Copy or download the folder again, or leave it out.")
    if abs(gaps[odd] - usual) > UNEVEN * usual:
        reason = f"is a series of uneven slices: {where}, others {usual:.4g} mm"
        raise DataError(reason, file=folder, remedy="Resample it to even slices first, or leave it out.")
