"""Whether a volume is in HU, where its format has no word for the unit.

Judged are the voxels from DEEPEST up: scanners pad what they did not reconstruct with -2000 or -3024, which says nothing
of the rest. HU are believed where

- a voxel is at NEAR_AIR or below, and
- the values lie where a CT has them, in air and lung (-1100 to -600) or in fat, soft tissue and soft bone (-250 to 500):
  MOST of them where MUCH_AIR of them are air or lung; else, as of a part cut out of the body, NEARLY_ALL.

CT stored without its intercept has its air at 0 or 24, and so nothing near -1000 but padding, and its body about 1050. MR
with values below zero has no gap between lung and fat. Of the 150 CT at hand 0.94 or more lies there; of 1,531 parts cut at
random out of 20 of them, all that held any air, two fell short. A part without any air is not taken for HU: nothing tells it
from other values.
"""

from collections.abc import Mapping

import numpy as np

from vesalius.data.scan import Array, Scan, Unit

NEAR_AIR = -500.0  # HU: without any value down here nothing tells CT from MR
DEEPEST = -1100.0  # HU of the darkest air with its noise; what is below is padding
LUNG, FAT, BONE = -600.0, -250.0, 500.0  # HU: air and lung end, fat begins, soft bone ends
MUCH_AIR, MOST, NEARLY_ALL = 0.02, 0.7, 0.85  # shares of voxels


def looks_hounsfield(image: Array) -> bool:
    """Whether (C, x, y, z) holds HU, by the rule above; counted on at most 128 voxels a side."""
    if (least := image.min()) < DEEPEST:
        least = image.min(where=image >= DEEPEST, initial=0)
    if least > NEAR_AIR:
        return False
    some = unpadded(thinned(image))
    air = np.count_nonzero(some <= LUNG)
    expected = air + np.count_nonzero((some >= FAT) & (some <= BONE))
    return bool(expected > (MOST if air >= MUCH_AIR * some.size else NEARLY_ALL) * some.size)


def believed(scan: Scan, told: Mapping[str, str]) -> Unit:
    """The unit of a scan of which a data set tells `told` (Scan.meta): what it calls MR or PET, or any but CT, is not in HU,
    whatever its values; but the file's own word comes first.
    """
    modality = scan.meta.get("modality") or told.get("modality", "")
    return "arbitrary" if scan.unit == "HU" and modality and "CT" not in modality.upper() else scan.unit


def unpadded(image: Array) -> Array:
    """(n,): the values that are no padding."""
    return image[image >= DEEPEST]


def thinned(image: Array) -> Array:
    """(C, *S) with steps so wide that no side has more than 128 voxels; a view."""
    return image[(slice(None), *(slice(None, None, 1 + (side - 1) // 128) for side in image.shape[1:]))]
