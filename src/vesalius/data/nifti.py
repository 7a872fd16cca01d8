"""Reads NIfTI-1 and -2 (.nii, .nii.gz) into a Scan of (x, y, z) voxels with a RAS+ affine in mm, and writes NIfTI-1.

The world is that of the sform, else of the qform; where a file has neither, its affine is None: nobody knows then which
side is left. Sides of 0 mm are none: without an sform, spacing and affine are None then. Values stay integers where their
scale is one. Of the header, nothing but geometry and scale is kept.
"""

import gzip
import math
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np

from vesalius.atomic import replacing
from vesalius.data.pixels import BROKEN, decoding, silence
from vesalius.data.scan import Array, Scan
from vesalius.data.volume import as_scan, refuse_shape
from vesalius.errors import DataError

_SIZE = {1: 348, 2: 540}  # bytes of a header, by version
_MM = {"meter": 1000.0, "micron": 0.001}  # of a unit; where none is said, it is mm
silence("nibabel.global")


def read_nifti(file: BinaryIO, path: Path, channels: bool = False) -> Scan:
    """(1, x, y, z). channels: a fourth axis is allowed, and is C.

    DataError: truncated, not 3-D, of size zero, sheared, or with values that are not finite.
    """
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    with decoding(path, "a NIfTI volume"):
        stream = gzip.GzipFile(fileobj=file) if packed else file
        head = _take(stream, _SIZE[2], path)
        header = _header(head, path)
        shape = _shape(header, path, channels)
        image = _scaled(_voxels(stream, head, header, path), *header.get_slope_inter())
        image = np.moveaxis(image.reshape((*shape[:3], -1), order="F"), -1, 0)
        spacing, affine = _geometry(header, head)
    return as_scan(path, image, spacing, affine)


def _take(stream: Any, count: int, path: Path) -> bytes:
    """At most `count` bytes. DataError where compressed data stop in their midst."""
    try:
        taken: bytes = stream.read(count)
    except EOFError:
        raise _truncated(path) from None
    return taken


def _truncated(path: Path) -> DataError:
    return DataError("is a volume that is truncated: it ends before its last voxel", file=path, remedy=BROKEN)


def _header(head: bytes, path: Path) -> Any:
    """The header, of either version and byte order. DataError where it makes no sense."""
    try:
        header = _parsed(head)
    except (nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError):
        raise DataError("is a volume whose NIfTI header is broken", file=path, remedy=BROKEN) from None
    if not bytes(header["magic"]).startswith(b"n+"):
        remedy = "Convert the pair of .hdr and .img to one .nii or .nii.gz."
        raise DataError("is the header of a volume whose voxels are elsewhere", file=path, remedy=remedy)
    return header


def _parsed(head: bytes, check: bool = True) -> Any:
    """check: what makes no sense is an error, or mended: sides of 0 mm become 1."""
    version = 2 if head[4:8] == b"n+2\0" else 1
    kind: Any = nibabel.Nifti2Header if version == 2 else nibabel.Nifti1Header
    return kind(head[: _SIZE[version]], check=check)


def _shape(header: Any, path: Path, channels: bool) -> tuple[int, ...]:
    """Sides in voxels; axes of one that follow the third are dropped. DataError as `refuse_shape`."""
    shape = tuple(map(int, header.get_data_shape()))
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    refuse_shape(path, shape[:3] if channels and len(shape) == 4 and shape[3] > 0 else shape)
    return shape


def _voxels(stream: Any, head: bytes, header: Any, path: Path) -> Array:
    """Stored values in native byte order, x fastest."""
    kind, count = header.get_data_dtype(), math.prod(_shape(header, path, channels=True))
    start = max(int(header["vox_offset"]), int(header["sizeof_hdr"]) + 4)
    end = start + count * kind.itemsize
    data = head + _take(stream, end - len(head), path)
    if len(data) < end:
        raise _truncated(path)
    _take(stream, 1, path)  # at the end of compressed data, their checksum is compared
    return np.frombuffer(data, kind, count, start).astype(kind.newbyteorder("="))


def _scaled(raw: Array, slope: float | None, intercept: float | None) -> Array:
    """Stored values -> what they mean: the same type where there is no scale, int16 or int32 where integers stay so."""
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if raw.dtype.kind not in "uif" or (slope, intercept) == (1, 0):
        return raw
    if raw.dtype.kind == "f" or slope % 1 or intercept % 1:
        return raw.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    ends = [int(end) * int(slope) + int(intercept) for end in (raw.min(), raw.max())]
    kind = np.int16 if np.iinfo(np.int16).min <= min(ends) <= max(ends) <= np.iinfo(np.int16).max else np.int32
    return (raw.astype(np.int32) * int(slope) + int(intercept)).astype(kind)


def _geometry(header: Any, head: bytes) -> tuple[tuple[float, ...] | None, Array | None]:
    """Spacing in mm and the affine, each None where the header does not say it."""
    mm = _MM.get(header.get_xyzt_units()[0], 1.0)
    stored = _parsed(head, check=False)["pixdim"][1:4]  # before nibabel mends them
    spacing = tuple(mm * float(side) for side in header.get_zooms()[:3])
    if header["sform_code"]:
        return spacing, np.diag((mm, mm, mm, 1.0)) @ header.get_sform()
    if not (np.isfinite(stored).all() and stored.all()):
        return None, None
    return spacing, np.diag((mm, mm, mm, 1.0)) @ header.get_qform() if header["qform_code"] else None


def write_nifti(path: Path, array: Array, affine: Array | None) -> None:
    """(x, y, z) uint8, int16 or float32 as .nii.gz with a RAS+ affine in mm (None: voxels of 1 mm), whole or not at all.

    DataError if the disk refuses.
    """
    volume: Any = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)  # type: ignore[no-untyped-call]
    volume.header.set_xyzt_units("mm")
    with replacing(path) as partial:  # its suffix says to nibabel how it is written
        nibabel.save(volume, partial)
