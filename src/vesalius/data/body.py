"""Which voxels of a CT are body: what is not reached from outside through air.

Source: vox2vec (Goncharov et al., MICCAI 2023), as in `methods.md` 2.1. There the volume is padded by a voxel of air in x
and y, not in z, air is flooded from the corner of the padding through 26 neighbours, and the body is the rest: lungs and
bowel gas belong to it, and so does air that is open at the first or last slice only. The padding touches all air on the
four faces of x and y and nothing else, so the flood is the components of air on these faces: nothing is padded here.
"""

import numpy as np
from scipy import ndimage

from vesalius.data.scan import Array, Scan
from vesalius.errors import DataError

AIR = -500.0  # HU: what is below is air


def body_mask(hu: Array, air: float = AIR) -> Array:
    """(x, y, z) HU -> (x, y, z) bool, True in the body. Any number of axes: faces of the last are closed."""
    thin = np.ascontiguousarray(hu < air)
    labels, count = ndimage.label(thin, np.ones((3,) * hu.ndim))
    outside = np.zeros(count + 1, bool)
    for axis in range(hu.ndim - 1):
        for face in (0, -1):
            outside[np.unique(labels.take(face, axis))] = True
    outside[0] = False  # what is not air
    return ~outside[labels]


def refuse_no_body(scan: Scan, air: float = AIR) -> None:
    """DataError for what is not in HU, and for HU without a voxel from `air` up."""
    image = scan.image
    if scan.unit != "HU":
        reason = f"is not in HU (values {image.min():g} to {image.max():g}), so its body cannot be told from air"
        remedy = "Give CT with its rescale intercept applied (air -1000), or, of MR, an encoder trained without --body."
        raise DataError(reason, file=scan.id, remedy=remedy)
    if image.max() < air:
        reason = f"is all air: no voxel of {air:g} HU or more, the highest is {image.max():g}"
        raise DataError(reason, file=scan.id, remedy="Leave it out.")
