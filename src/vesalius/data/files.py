"""Reads an image into a Scan: 2-D from PNG, JPEG, TIFF or DICOM, whatever its name; a volume from NIfTI, MetaImage, NRRD
or a folder that is a DICOM series. Writes PNG.

Units: uint8 and uint16 are "0..1" (value / largest value of the type), other types "arbitrary"; DICOM CT is "HU".
Resolution tags of PNG, JPEG and TIFF describe print, not anatomy: spacing is None there. Transparency is dropped. Pillow
reduces 16-bit colour in PNG and in compressed TIFF to 8 bits; every other type arrives as stored. Volumes whose format
does not say so are in HU where their values lie as those of CT do (`hounsfield`), else "arbitrary".
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image

from vesalius.atomic import replacing
from vesalius.data.pixels import channels_first, decoding, oriented, picture_samples, refuse_size
from vesalius.data.scan import Array, Scan
from vesalius.errors import DataError

Kind = Literal["png", "jpeg", "tiff", "dicom", "volume", "other"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
_HEAD = 352  # bytes that tell every format apart: NIfTI ends its header with its name at 344..347
_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (128, b"DICM", "dicom"),  # first: its preamble may say TIFF, for readers that know only that
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (344, b"n+1\0", "volume"),
    (344, b"ni1\0", "volume"),
    (4, b"n+2\0", "volume"),
    (0, b"NRRD", "volume"),
    (0, b"ObjectType", "volume"),
    (0, b"NDims", "volume"),
)
_EXIF_ORIENTATION = 274


def sniff(head: bytes) -> Kind:
    """The format that the first 352 bytes of a file tell, whatever its name."""
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    return "dicom" if _opens_a_dataset(head) else "other"


def _opens_a_dataset(head: bytes) -> bool:
    """DICOM without preamble: an element of group 0002 or 0008, then its type (two capitals) or a length below 1024."""
    group = {int.from_bytes(head[:2], "little"), int.from_bytes(head[:2], "big")}
    length = min(int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big"))
    return len(head) >= 16 and bool(group & {2, 8}) and (length < 1024 or bool(re.match(rb"[A-Z]{2}", head[4:6])))


def find(folder: Path) -> Iterator[Path]:
    """Files under `folder` that may hold an image or volume, by suffix or by content, folder by folder, links followed.

    Hidden files and DICOMDIR are left out. A broken file with an image's suffix is found: `read` says what is wrong.
    """
    seen: set[tuple[int, int]] = set()  # a link to a parent folder must not go round in circles
    for parent, folders, names in os.walk(folder, followlinks=True):
        place = os.stat(parent)
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and name != "DICOMDIR" and path.is_file() and is_image(path):
                yield path


def is_image(path: Path) -> bool:
    """Whether the suffix is one of an image or volume, or else the content is."""
    if path.name.lower().endswith((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES)):
        return True
    try:
        with path.open("rb") as file:
            return sniff(file.read(_HEAD)) != "other"
    except OSError:
        return True  # what cannot be opened is for `read` to name, not for us to hide


def is_dicom(path: Path) -> bool:
    """Whether the content is DICOM, whatever the name. False for what cannot be opened."""
    try:
        with path.open("rb") as file:
            return sniff(file.read(_HEAD)) == "dicom"
    except OSError:
        return False


def read(path: Path) -> Scan:
    """An image (1 or 3, H, W) or volume (1, x, y, z) in the file's own type. A folder is read as a DICOM series.

    DataError names file, reason and remedy.
    """
    path = Path(path)
    try:
        if path.is_dir():
            from vesalius.data.series import read_series

            return read_series(path)
        if not path.is_file():
            reason = "is no file" if path.exists() else "is not there"
            raise DataError(reason, file=path, remedy="Check the path.")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(0)
            return _read(file, path, head)
    except OSError as error:
        reason = f"cannot be opened ({error.strerror or error})"
        raise DataError(reason, file=path, remedy="Check the file's permissions and the disk.") from error


def _read(file: BinaryIO, path: Path, head: bytes) -> Scan:
    if not head:
        raise DataError("is empty (zero bytes)", file=path, remedy="Copy or download it again, or leave it out.")
    match sniff(head):
        case "png":
            return Scan(_read_picture(file, path, "PNG"), "0..1")
        case "jpeg":
            return Scan(_read_picture(file, path, "JPEG"), "0..1")
        case "tiff":
            from vesalius.data.tiff import read_tiff

            return read_tiff(file, path)
        case "dicom":
            from vesalius.data.dicom import read_dicom

            return read_dicom(file, path)
        case "volume":
            return _read_volume(file, path, head)
        case "other" if path.name.lower().endswith(VOLUME_SUFFIXES):
            return _read_volume(file, path, head)
        case _:
            remedy = "Leave it out, or convert it to one of these."
            raise DataError("is not a PNG, JPEG, TIFF or DICOM image, nor a volume", file=path, remedy=remedy)


def _read_volume(file: BinaryIO, path: Path, head: bytes) -> Scan:
    """By content, or where that does not tell (.nii.gz), by suffix."""
    nrrd = head.startswith(b"NRRD")
    if nrrd or head.startswith((b"ObjectType", b"NDims")) or path.suffix.lower() in (".mha", ".mhd", ".nrrd", ".nhdr"):
        from vesalius.data.itk import read_itk

        return read_itk(path, nrrd=nrrd or path.suffix.lower() in (".nrrd", ".nhdr"))
    from vesalius.data.nifti import read_nifti

    return read_nifti(file, path)


def _read_picture(file: BinaryIO, path: Path, format: str) -> Array:
    """(1 or 3, H, W) uint8 or uint16, upright by the EXIF orientation."""
    with decoding(path, format), Image.open(file, formats=(format,)) as picture:
        refuse_size(path, picture.height, picture.width)
        pixels = picture_samples(picture)
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    return channels_first(oriented(pixels, orientation))


def write_png(path: Path, array: Array) -> None:
    """(H, W), (1, H, W) or (3, H, W) of uint8 or bool (as 0 and 255), or grey uint16. DataError if the disk refuses."""
    array = np.asarray(array)
    if array.dtype == bool:
        array = array * np.uint8(255)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[0] == 1)
    colour = array.ndim == 3 and array.shape[0] == 3 and array.dtype == np.uint8
    if array.dtype not in (np.uint8, np.uint16) or not (grey or colour) or array.size == 0:
        raise ValueError(f"PNG holds uint8 (1 or 3, H, W) or uint16 (1, H, W), not {array.dtype} {array.shape}")
    picture = Image.fromarray(
        array.reshape(array.shape[-2:]) if grey else np.ascontiguousarray(np.moveaxis(array, 0, -1))
    )
    with replacing(path) as partial:
        picture.save(partial, format="PNG")
