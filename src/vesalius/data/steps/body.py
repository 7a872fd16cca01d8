"""Steps that tell the body from the air round it: CT in HU only."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vesalius.data.body import AIR, body_mask, refuse_no_body
from vesalius.data.scan import Scan
from vesalius.data.steps.shape import Crop, bounds
from vesalius.data.steps.step import Fit, Step


@dataclass(frozen=True)
class CropBody(Crop):
    """Cut away the faces of a CT on which every voxel is below `air` HU."""

    air: float = AIR

    def fit(self, scan: Scan) -> Fit:
        """Where the body starts and stops. DataError: not in HU, or all air."""
        refuse_no_body(scan, self.air)
        start, stop = bounds(np.asarray((scan.image >= self.air).any(axis=0)))
        return {"shape": list(scan.shape), "start": start, "stop": stop, "fill": float(scan.image.min())}


@dataclass(frozen=True)
class Body(Step):
    """Changes no voxel, and keeps beside the image which voxels are body (`data.body`); after all steps that move voxels."""

    air: float = AIR

    def fit(self, scan: Scan) -> Fit:
        """DataError: not in HU, or all air."""
        refuse_no_body(scan, self.air)
        return {}

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:
        """The mask, (*S) bool."""
        return {"body": body_mask(scan.image[0], self.air)}
