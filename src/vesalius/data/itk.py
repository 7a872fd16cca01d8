"""Reads MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) into a Scan of (x, y, z) voxels with a RAS+ affine in mm.

ITK's world is LPS, whatever the file says: SimpleITK has turned the spaces of NRRD to it. What a header does not say, ITK
makes up: 1 mm, and axes along the patient's. So the header is looked at, and spacing or affine are None. Of the header,
nothing but geometry is kept.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from vesalius.data.pixels import decoding
from vesalius.data.scan import Array, Scan
from vesalius.data.volume import TO_RAS, as_scan, refuse_shape
from vesalius.errors import DataError

sitk: Any = SimpleITK  # it says nothing of its types
_LONGEST = 65536  # bytes of a line of a header
sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what matters is raised


def read_itk(path: Path, nrrd: bool) -> Scan:
    """(1, x, y, z). DataError: truncated, not 3-D, of size zero, sheared, in colour, or with values not finite."""
    with decoding(path, f"a volume in {'NRRD' if nrrd else 'MetaImage'} form", quote=False):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("NrrdImageIO" if nrrd else "MetaImageIO")
        reader.SetFileName(str(path.absolute()))
        reader.ReadImageInformation()
        refuse_shape(path, tuple(reader.GetSize()))
        if reader.GetNumberOfComponents() > 1:
            raise DataError("is a volume of several channels", file=path, remedy="Give each channel a file of its own.")
        fields = dict(_fields(path, nrrd))
        spacing, affine = _geometry(reader, fields, nrrd)
        image = _voxels(path, reader, fields)
    return as_scan(path, image.transpose(2, 1, 0)[None], spacing, affine)


def _voxels(path: Path, reader: Any, fields: dict[str, str]) -> Array:
    """(z, y, x). DataError where the header, which is sound, is not followed by as many. No name in a header is repeated."""
    apart = fields.get("ElementDataFile") or fields.get("data file") or fields.get("datafile") or "LOCAL"
    named = not {"LOCAL", "LIST"} & set(apart.split()[:1]) and "%" not in apart
    if named and not (path.parent / apart).exists():
        reason = "the file of voxels that its header names is not there"
        raise DataError(reason, file=path, remedy="Put it beside the header, or download both again.")
    try:
        return np.asarray(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError:
        where = "the file beside it" if named else "it"
        reason = f"{where} holds fewer voxels than the header says, or they cannot be unpacked"
        raise DataError(reason, file=path, remedy="Download it again.") from None


def _geometry(reader: Any, fields: dict[str, str], nrrd: bool) -> tuple[tuple[float, ...] | None, Array | None]:
    """Spacing in mm and the (4, 4) affine voxel -> RAS+ mm, each None where the header does not say it."""
    if nrrd:  # a space that is none of the patient's, such as the scanner's, keeps its name
        directed = "space directions" in fields
        spaced = directed or all(math.isfinite(float(side)) for side in fields.get("spacings", "nan").split())
        lies = directed and "NRRD_space" in reader.GetMetaDataKeys()
        lies = lies and reader.GetMetaData("NRRD_space") == "left-posterior-superior"
    else:
        spaced = not {"ElementSpacing", "ElementSize"}.isdisjoint(fields)
        lies = not {"TransformMatrix", "Rotation", "Orientation"}.isdisjoint(fields)
    spacing = tuple(abs(float(side)) for side in reader.GetSpacing()) if spaced else None
    if not (spaced and lies):
        return spacing, None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * np.asarray(reader.GetSpacing())
    affine[:3, 3] = reader.GetOrigin()
    return spacing, np.asarray(TO_RAS @ affine)


def _fields(path: Path, nrrd: bool) -> Iterator[tuple[str, str]]:
    """Name and value of each line of a header; names of NRRD in small letters, since case says nothing there."""
    with path.open("rb") as file:
        while line := file.readline(_LONGEST).decode("latin-1").strip():
            name, _, value = line.partition(":" if nrrd else "=")
            yield (name.strip().lower() if nrrd else name.strip()), value.strip()
            if not nrrd and name.strip() == "ElementDataFile":
                return
