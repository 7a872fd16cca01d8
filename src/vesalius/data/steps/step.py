"""What a step is: it can be applied to, and taken back from, images, masks and points.

`fit` looks at a scan and returns the JSON-able numbers that everything else needs, so a trace of fits is all it takes
to bring results back. Images are (C, *S); masks (K, *S), bool (or float: probabilities); points (N, ndim) voxel
coordinates. A step overrides what it changes; the rest passes through.
"""

from dataclasses import dataclass
from typing import Any

from vesalius.data.scan import Array, Scan

Fit = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step that changes nothing."""

    def fit(self, scan: Scan) -> Fit:
        """What apply and invert need to know of this scan, in JSON's types."""
        return {}

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:
        """The fields of Scan, other than the image, that this step changes: unit, spacing, affine."""
        return {}

    def image(self, image: Array, fit: Fit) -> Array:
        """(C, *S) -> (C', *S')."""
        return image

    def image_back(self, image: Array, fit: Fit) -> Array:
        """(C', *S') -> (C, *S), as near as the step allows."""
        return image

    def mask(self, mask: Array, fit: Fit) -> Array:
        """(K, *S) -> (K, *S')."""
        return mask

    def mask_back(self, mask: Array, fit: Fit) -> Array:
        """(K, *S') -> (K, *S)."""
        return mask

    def points(self, points: Array, fit: Fit) -> Array:
        """(N, ndim) -> (N, ndim)."""
        return points

    def points_back(self, points: Array, fit: Fit) -> Array:
        """(N, ndim) -> (N, ndim)."""
        return points
