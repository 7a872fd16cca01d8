"""Steps that move voxels: cropping, resampling, turning."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vesalius.data.scan import Array, Scan
from vesalius.data.steps.step import Fit, Step
from vesalius.errors import DataError
from vesalius.space import affine as space_affine
from vesalius.space import resample


@dataclass(frozen=True)
class Dimensions(Step):
    """Changes nothing, and refuses what has another number of axes: a volume where radiographs are meant."""

    ndim: int = 2

    def fit(self, scan: Scan) -> Fit:
        """DataError unless the scan has `ndim` spatial axes."""
        if scan.ndim != self.ndim:
            sides = " x ".join(map(str, scan.shape))
            reason = f"an image of {sides} voxels where {self.ndim}-D ones are needed"
            raise DataError(reason, file=scan.id, remedy=f"Set ndim to {scan.ndim}, or leave the file out.")
        return {}


def bounds(content: Array) -> tuple[list[int], list[int]]:
    """(*S) bool -> start and stop of the smallest box that holds all that is True; the whole where nothing is."""
    start, stop = [], []
    for axis, side in enumerate(content.shape):
        seen = np.flatnonzero(content.any(axis=tuple(a for a in range(content.ndim) if a != axis)))
        start.append(int(seen[0]) if len(seen) else 0)
        stop.append(int(seen[-1]) + 1 if len(seen) else side)
    return start, stop


@dataclass(frozen=True)
class Crop(Step):
    """To the box from fit's `start` to its `stop`, and back with `fill` where something was; what all croppings share."""

    def fit(self, scan: Scan) -> Fit:
        """The whole."""
        return {"shape": list(scan.shape), "start": [0] * scan.ndim, "stop": list(scan.shape), "fill": 0.0}

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:  # noqa: D102
        return {} if scan.affine is None else {"affine": space_affine.cropped(scan.affine, tuple(fit["start"]))}

    def image(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        return image[(slice(None), *(slice(a, b) for a, b in zip(fit["start"], fit["stop"], strict=True)))]

    def image_back(self, image: Array, fit: Fit) -> Array:
        """What was cut away comes back as `fill`."""
        return self._paste(image, fit, fit["fill"])

    def mask(self, mask: Array, fit: Fit) -> Array:  # noqa: D102
        return self.image(mask, fit)

    def mask_back(self, mask: Array, fit: Fit) -> Array:  # noqa: D102
        return self._paste(mask, fit, 0)

    def _paste(self, array: Array, fit: Fit, fill: float) -> Array:
        whole = np.full((len(array), *fit["shape"]), fill).astype(array.dtype)
        self.image(whole, fit)[...] = array
        return whole

    def points(self, points: Array, fit: Fit) -> Array:  # noqa: D102
        return np.asarray(np.asarray(points, np.float64) - fit["start"])

    def points_back(self, points: Array, fit: Fit) -> Array:  # noqa: D102
        return np.asarray(np.asarray(points, np.float64) + fit["start"])


@dataclass(frozen=True)
class CropBorder(Crop):
    """Cut away the faces of the image on which no voxel exceeds `threshold` (in stored units).

    None: the lowest value of the image, so that constant dark borders go.
    """

    threshold: float | None = None

    def fit(self, scan: Scan) -> Fit:
        """Where the content starts and stops; all of the image where nothing exceeds the threshold."""
        floor = scan.image.min() if self.threshold is None else self.threshold
        start, stop = bounds(np.asarray((scan.image > floor).any(axis=0)))
        return {"shape": list(scan.shape), "start": start, "stop": stop, "fill": float(floor)}


@dataclass(frozen=True)
class Resize(Step):
    """From one shape to another over the same field of view; what both resampling steps share."""

    def target(self, scan: Scan) -> tuple[int, ...]:
        """The shape that this scan is brought to."""
        return scan.shape

    def fit(self, scan: Scan) -> Fit:
        """Shape before and after."""
        return {"from": list(scan.shape), "to": list(self.target(scan))}

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:
        """Spacing and affine of the new voxels."""
        old, new = tuple(fit["from"]), tuple(fit["to"])
        spacing = scan.spacing and tuple(mm * n / m for mm, n, m in zip(scan.spacing, old, new, strict=True))
        affine = None if scan.affine is None else space_affine.resized(scan.affine, old, new)
        return {"spacing": spacing, "affine": affine}

    def image(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        return resample.resize(image, tuple(fit["to"]))

    def image_back(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        return resample.resize(image, tuple(fit["from"]))

    def mask(self, mask: Array, fit: Fit) -> Array:  # noqa: D102
        return resample.resize_mask(mask, tuple(fit["to"]))

    def mask_back(self, mask: Array, fit: Fit) -> Array:  # noqa: D102
        return resample.resize_mask(mask, tuple(fit["from"]))

    def points(self, points: Array, fit: Fit) -> Array:  # noqa: D102
        return resample.resize_points(points, fit["from"], fit["to"])

    def points_back(self, points: Array, fit: Fit) -> Array:  # noqa: D102
        return resample.resize_points(points, fit["to"], fit["from"])


@dataclass(frozen=True)
class ResizeShort(Resize):
    """The short side to `size` voxels, the aspect kept, antialiased.

    A smaller image stays as it is, and its fit says `"smaller": true`, unless `upsample` is set.
    """

    size: int = 512
    upsample: bool = False

    def target(self, scan: Scan) -> tuple[int, ...]:  # noqa: D102
        return scan.shape if self._smaller(scan) else resample.short_side(scan.shape, self.size)

    def fit(self, scan: Scan) -> Fit:  # noqa: D102
        return super().fit(scan) | ({"smaller": True} if self._smaller(scan) else {})

    def _smaller(self, scan: Scan) -> bool:
        return min(scan.shape) < self.size and not self.upsample


@dataclass(frozen=True)
class Spacing(Resize):
    """To voxels of about `mm` along each axis: the field of view is kept, the spacing the nearest that fits.

    An axis of coarser voxels keeps them, since interpolation adds no detail, and its number is in the fit's `"kept"`;
    `upsample` makes it finer all the same.
    """

    mm: tuple[float, ...] = (1.0, 1.0, 2.0)  # vox2vec's
    upsample: bool = False

    def target(self, scan: Scan) -> tuple[int, ...]:
        """DataError where the scan has no spacing, or another number of axes."""
        wanted = self._wanted(scan)
        return wanted if self.upsample else tuple(map(min, wanted, scan.shape))

    def fit(self, scan: Scan) -> Fit:  # noqa: D102
        kept = [a for a, (old, new) in enumerate(zip(scan.shape, self._wanted(scan), strict=True)) if new > old]
        return super().fit(scan) | ({"kept": kept} if kept and not self.upsample else {})

    def _wanted(self, scan: Scan) -> tuple[int, ...]:
        if scan.spacing is None or len(scan.spacing) != len(self.mm):
            reason = f"spacing {scan.spacing} where {len(self.mm)} numbers of mm are needed"
            raise DataError(reason, file=scan.id, remedy="Leave the Spacing step out, or give the file its spacing.")
        return resample.shape_at_spacing(scan.shape, scan.spacing, self.mm)


@dataclass(frozen=True)
class Canonical(Step):
    """Array axes to right, anterior, superior, by permuting and flipping alone; without an affine, nothing."""

    def fit(self, scan: Scan) -> Fit:
        """The order of axes, which of them turn, and the shape before."""
        if scan.affine is None:
            return {"order": list(range(scan.ndim)), "flip": [False] * scan.ndim, "shape": list(scan.shape)}
        order, flip = space_affine.orientation(scan.affine)
        return {"order": list(order), "flip": list(flip), "shape": list(scan.shape)}

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:  # noqa: D102
        spacing = scan.spacing and tuple(scan.spacing[a] for a in fit["order"])
        if scan.affine is None:
            return {"spacing": spacing}
        turned = space_affine.reoriented(scan.affine, scan.shape, tuple(fit["order"]), tuple(fit["flip"]))
        return {"spacing": spacing, "affine": turned}

    def image(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        return space_affine.reorient(image, fit["order"], fit["flip"])

    def image_back(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        return space_affine.reorient_back(image, fit["order"], fit["flip"])

    def mask(self, mask: Array, fit: Fit) -> Array:  # noqa: D102
        return self.image(mask, fit)

    def mask_back(self, mask: Array, fit: Fit) -> Array:  # noqa: D102
        return self.image_back(mask, fit)

    def points(self, points: Array, fit: Fit) -> Array:  # noqa: D102
        moved = np.asarray(points, np.float64)[:, fit["order"]]
        return np.where(fit["flip"], np.take(fit["shape"], fit["order"]) - 1 - moved, moved)

    def points_back(self, points: Array, fit: Fit) -> Array:  # noqa: D102
        turned = np.where(fit["flip"], np.take(fit["shape"], fit["order"]) - 1 - points, points)
        return np.asarray(turned)[:, np.argsort(fit["order"])]
