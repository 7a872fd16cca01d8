"""Reads MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) into a Scan of (x, y, z) voxels with a RAS+ affine in mm.

ITK's world is LPS, whatever the file says: SimpleITK has turned the spaces of NRRD to it. Of the header, nothing but
geometry is kept.
"""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from vesalius.data.pixels import decoding
from vesalius.data.scan import Scan
from vesalius.data.volume import TO_RAS, as_scan, refuse_shape
from vesalius.errors import DataError

sitk: Any = SimpleITK  # it says nothing of its types
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
        affine = TO_RAS @ _affine(reader)
        image = sitk.GetArrayFromImage(reader.Execute())
    return as_scan(path, image.transpose(2, 1, 0)[None], tuple(reader.GetSpacing()), affine)


def _affine(reader: Any) -> Any:
    """(4, 4) voxel -> LPS mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * np.asarray(reader.GetSpacing())
    affine[:3, 3] = reader.GetOrigin()
    return affine
