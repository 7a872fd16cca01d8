"""Steps that change values and leave every voxel in its place."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vesalius.data.scan import Array, Scan
from vesalius.data.steps.step import Fit, Step
from vesalius.errors import DataError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Grey(Step):
    """Colour to one channel. "luma" weighs red, green, blue by BT.601; "mean" takes any number of channels."""

    how: Literal["luma", "mean"] = "luma"

    def fit(self, scan: Scan) -> Fit:
        """DataError where luma meets neither 1 nor 3 channels."""
        channels = len(scan.image)
        if self.how == "luma" and channels not in (1, 3):
            raise DataError(
                f"{channels} channels where luma needs 1 or 3", file=scan.id, remedy="Set Grey(how='mean')."
            )
        return {"channels": channels}

    def image(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        if len(image) == 1:
            return image
        weights = LUMA if self.how == "luma" else np.full(len(image), 1 / len(image))
        grey = np.tensordot(np.asarray(weights, np.float32), image.astype(np.float32), axes=1)[None]
        return (np.rint(grey) if np.issubdtype(image.dtype, np.integer) else grey).astype(image.dtype)

    def image_back(self, image: Array, fit: Fit) -> Array:
        """The colours are gone: every channel is the grey one."""
        return image.repeat(fit["channels"], axis=0) if len(image) == 1 else image


@dataclass(frozen=True)
class ToUint8(Step):
    """Intensities to uint8 of unit "0..1".

    Unit "0..1": the whole range of the type (0 to 1 for floats). HU: the window `hu`, vox2vec's by default.
    "arbitrary": lowest to highest value; with `percentiles`, between those two of the image.
    """

    hu: tuple[float, float] = (-1350.0, 1000.0)
    percentiles: tuple[float, float] | None = None

    def fit(self, scan: Scan) -> Fit:
        """The window, how it was found, and what image_back needs to return to the original type."""
        lo, hi, how = self._window(scan)
        return {"lo": float(lo), "hi": float(hi), "window": how, "dtype": str(scan.image.dtype)}

    def _window(self, scan: Scan) -> tuple[float, float, str]:
        if scan.unit == "HU":
            return (*self.hu, "HU window")
        if scan.unit == "0..1":
            whole = np.issubdtype(scan.image.dtype, np.integer)
            return 0, np.iinfo(scan.image.dtype).max if whole else 1, "whole range"
        if self.percentiles is None:
            return scan.image.min(), scan.image.max(), "lowest to highest"
        lo, hi = np.percentile(scan.image, self.percentiles)
        return lo, hi, f"percentiles {self.percentiles[0]:g} to {self.percentiles[1]:g}"

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:  # noqa: D102
        return {"unit": "0..1"}

    def image(self, image: Array, fit: Fit) -> Array:
        """A constant image becomes 0."""
        if image.dtype == np.uint8 and (fit["lo"], fit["hi"]) == (0, 255):
            return image
        width = fit["hi"] - fit["lo"]
        unit = (image.astype(np.float64) - fit["lo"]) / width if width > 0 else np.zeros(image.shape)
        return np.asarray(np.rint(unit.clip(0, 1) * 255), np.uint8)

    def image_back(self, image: Array, fit: Fit) -> Array:
        """To the original values within half a 255th of the window; what lay outside it is lost."""
        values = fit["lo"] + image.astype(np.float64) / 255 * (fit["hi"] - fit["lo"])
        dtype = np.dtype(fit["dtype"])
        return np.asarray(np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)


@dataclass(frozen=True)
class Narrow(Step):
    """The narrowest type that keeps what matters: HU as int16, other floats as float32; integers stay as they are."""

    def fit(self, scan: Scan) -> Fit:  # noqa: D102
        kind = scan.image.dtype
        to = "int16" if scan.unit == "HU" else "float32" if np.issubdtype(kind, np.floating) else str(kind)
        return {"dtype": str(kind), "to": to}

    def image(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        if fit["to"] == "int16":
            whole = image if np.issubdtype(image.dtype, np.integer) else np.rint(image)
            return whole if whole.dtype == np.int16 else whole.clip(-32768, 32767).astype(np.int16)
        return image.astype(fit["to"])

    def image_back(self, image: Array, fit: Fit) -> Array:  # noqa: D102
        return image.astype(fit["dtype"])


@dataclass(frozen=True)
class Percentiles(Step):
    """Values on an arbitrary scale, such as MR's, to unit "0..1" as uint16: these percentiles of the image become 0 and 1.

    An image whose unit is known stays as it is. nnU-Net and others clip MR at 0.5 and 99.5 %. Of several channels, which
    are modalities, each has a scale of its own.
    """

    low: float = 0.5
    high: float = 99.5

    def fit(self, scan: Scan) -> Fit:  # noqa: D102
        if scan.unit != "arbitrary":
            return {}
        ends = np.percentile(scan.image, (self.low, self.high), axis=tuple(range(1, scan.image.ndim)))
        lo, hi = ends[:, 0].tolist() if len(scan.image) == 1 else ends.tolist()
        return {"lo": lo, "hi": hi, "dtype": str(scan.image.dtype)}

    def about(self, scan: Scan, fit: Fit) -> dict[str, Any]:  # noqa: D102
        return {"unit": "0..1"} if fit else {}

    def image(self, image: Array, fit: Fit) -> Array:
        """A constant channel becomes 0."""
        if not fit:
            return image
        lo, width = _range(fit, image.ndim)
        unit = np.divide(image.astype(np.float64) - lo, width, out=np.zeros(image.shape), where=width > 0)
        return np.asarray(np.rint(unit.clip(0, 1) * 65535), np.uint16)

    def image_back(self, image: Array, fit: Fit) -> Array:
        """To the original values within half a 65535th of the range; what lay outside it is lost."""
        if not fit:
            return image
        lo, width = _range(fit, image.ndim)
        values = lo + image.astype(np.float64) / 65535 * width
        dtype = np.dtype(fit["dtype"])
        return np.asarray(np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)


def _range(fit: Fit, ndim: int) -> tuple[Array, Array]:
    """Lowest value and width of each channel, (C or 1, 1, ...)."""
    lo, hi = (np.reshape(fit[end], (-1, *(1,) * (ndim - 1))) for end in ("lo", "hi"))
    return lo, hi - lo
