"""What every reader of volumes does alike: shapes, affines and values that cannot be meant become a DataError."""

from pathlib import Path

import numpy as np

from vesalius.data.hounsfield import looks_hounsfield
from vesalius.data.pixels import BROKEN, refuse_not_finite
from vesalius.data.scan import Array, Scan
from vesalius.errors import DataError
from vesalius.space import affine as space_affine

MAX_VOXELS = 2**30  # 1024 x 1024 x 1024; a header that claims more is taken for a decompression bomb
SHEAR = 0.005  # cosine between two axes (0.3 degrees) beyond which they are not at right angles
TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))  # LPS mm, of DICOM and ITK, -> RAS+ mm


def refuse_shape(path: Path, shape: tuple[int, ...]) -> None:
    """DataError for anything but x, y and z with two voxels or more each, and for more than MAX_VOXELS."""
    sides = " x ".join(map(str, shape))
    if min(shape, default=0) < 1:
        raise DataError(f"is a volume of {sides or 'no'} voxels, which is none", file=path, remedy=BROKEN)
    if len(shape) > 3:
        remedy = "Give each point of time, or each channel, a file of its own."
        raise DataError(f"is a volume of {len(shape)} dimensions ({sides})", file=path, remedy=remedy)
    if len(shape) < 3 or 1 in shape:
        remedy = "Leave it out, or export it as PNG or DICOM."
        raise DataError(f"is a 2-D image ({sides}) in the form of a volume", file=path, remedy=remedy)
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise DataError(
            f"claims {sides} voxels, more than {MAX_VOXELS:,}", file=path, remedy="Cut it into parts first."
        )


def refuse_affine(path: Path, affine: Array) -> None:
    """DataError for a (4, 4) affine that is not finite, has no inverse, or whose axes are not at right angles."""
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise DataError("is a volume whose affine has no inverse", file=path, remedy="Correct its header.")
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if (cosine := float(np.abs(axes.T @ axes - np.eye(3)).max())) > SHEAR:
        reason = f"is a volume with a sheared affine: its axes meet at {np.degrees(np.arccos(cosine)):.1f} degrees"
        remedy = "Resample it to axes at right angles first, for instance with dcm2niix, which corrects gantry tilt."
        raise DataError(reason, file=path, remedy=remedy)


def as_scan(path: Path, image: Array, spacing: tuple[float, ...] | None, affine: Array | None) -> Scan:
    """(C, x, y, z) and its geometry as a Scan. Its unit is HU where its values look it (`hounsfield`), else "arbitrary".

    spacing, affine: None where the file does not say; with an affine, the spacing is the affine's.
    DataError for values that are no real numbers, or not finite.
    """
    if image.dtype.kind not in "uif":
        raise DataError(f"is a volume of {image.dtype} values", file=path, remedy="Store integers or real numbers.")
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    refuse_not_finite(path, image)
    if affine is not None:
        refuse_affine(path, affine)
        spacing = space_affine.spacing(affine)
    return Scan(image, "HU" if looks_hounsfield(image) else "arbitrary", spacing=spacing, affine=affine)
