"""From stored DICOM values to grey: modality LUT, VOI LUT or window, inversion (PS3.3 C.11.1, C.11.2; PS3.4 N.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vesalius.data.scan import Array


@dataclass(frozen=True, eq=False)
class Lut:
    """A look-up table: `first` and all below become outputs[0], first + 1 outputs[1], ...; the top is 2**bits - 1."""

    first: int
    outputs: Array
    bits: int

    def __call__(self, x: Array) -> Array:
        """Outputs for real-valued x, of its shape; x is rounded."""
        entry = np.clip(np.rint(x) - self.first, 0, len(self.outputs) - 1)
        outputs: Array = self.outputs[entry.astype(np.intp)]
        return outputs


@dataclass(frozen=True)
class Window:
    """The values that a viewer spreads from black to white. function: LINEAR, LINEAR_EXACT or SIGMOID."""

    centre: float
    width: float
    function: str = "LINEAR"

    def __call__(self, x: Array) -> Array:
        """Values after the modality LUT -> 0..1, by the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):  # exp(large) is infinite and 1 / (1 + inf) is the 0 it should be
                return 1 / (1 + np.exp(-4 * (x - self.centre) / self.width))
        if self.function == "LINEAR_EXACT":
            return np.clip((x - self.centre) / self.width + 0.5, 0, 1)
        return np.clip((x - (self.centre - 0.5)) / max(self.width - 1, 1e-6) + 0.5, 0, 1)


@dataclass(frozen=True, eq=False)
class Grey:
    """How stored values of `bits` bits become grey. padding: first and last stored value that mean "no image here"."""

    bits: int
    signed: bool
    rescale: tuple[float, float] | Lut = (1.0, 0.0)  # slope, intercept
    voi: Window | Lut | None = None
    inverted: bool = False
    padding: tuple[float, float] | None = None

    def modality(self, stored: Array) -> Array:
        """Stored values -> the device's unit (HU in CT), float64."""
        if isinstance(self.rescale, Lut):
            return self.rescale(stored).astype(np.float64)
        slope, intercept = self.rescale
        return stored * np.float64(slope) + intercept

    def shown(self, stored: Array) -> Array:
        """Stored values -> 0 black .. 1 white, as a viewer shows them; padding is black."""
        x, y = self.modality(stored), stored
        if isinstance(self.voi, Window):
            y = self.voi(x)
        elif isinstance(self.voi, Lut):
            y = self.voi(x) / np.float64(2**self.voi.bits - 1)
        else:
            y = self._in_range(stored)
        y = np.clip(1 - y if self.inverted else y, 0, 1)
        if self.padding is not None:
            y[(stored >= min(self.padding)) & (stored <= max(self.padding))] = 0
        return y

    @property
    def has_range(self) -> bool:
        """Whether `bits` alone say what is black and what is white: signed values go as far below zero as above."""
        return isinstance(self.rescale, Lut) or not self.signed

    def _in_range(self, stored: Array) -> Array:
        """Without a VOI: 0..1 over what `bits` can hold; a negative slope turns black into white."""
        if isinstance(self.rescale, Lut):
            return self.rescale(stored) / np.float64(2**self.rescale.bits - 1)
        y = stored / np.float64(2**self.bits - 1)
        return y if self.rescale[0] > 0 else 1 - y


def look_up(samples: Array, function: Callable[[Array], Array]) -> Array:
    """function(samples) for 8 or 16-bit integers, from a table over every value of their type."""
    unsigned = np.dtype(f"u{samples.dtype.itemsize}")
    every = np.arange(2 ** (8 * unsigned.itemsize)).astype(unsigned).view(samples.dtype)
    found: Array = function(every)[samples.view(unsigned)]
    return found
