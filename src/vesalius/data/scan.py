"""What is read from a file: an image with its geometry, unit and patient, and what is known about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

Array = NDArray[Any]
Unit = Literal["HU", "0..1", "arbitrary"]
META = ("site", "view", "sex", "age_band", "modality")  # nothing else about a person is ever kept


@dataclass(frozen=True, eq=False)
class Scan:
    """One image. 2-D arrays are (row, column), 3-D arrays (x, y, z) in RAS+ order of their affine.

    image: (C, *S). Unit "0..1" in an unsigned integer type means value / largest value of that type.
    spacing: mm from voxel to voxel along each axis of S; None where the file does not say.
    affine: (ndim + 1, ndim + 1) voxel -> RAS+ mm at voxel centres; None in 2-D and where the file does not say.
    body: (*S) bool, True in the body, where a prepare step has told it from the air around; else None.
    patient: the raw identifier, in memory only: it is hashed before anything is written.
    """

    image: Array
    unit: Unit
    id: str = ""
    patient: str = ""
    spacing: tuple[float, ...] | None = None
    affine: Array | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    body: Array | None = None

    def __post_init__(self) -> None:
        unknown = set(self.meta) - set(META)
        if unknown:
            raise ValueError(f"meta may hold {META}, not {sorted(unknown)}")

    @property
    def ndim(self) -> int:
        """Number of spatial axes: 2 or 3."""
        return self.image.ndim - 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each spatial axis."""
        return tuple(self.image.shape[1:])


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known about one scan. Unknown is never the same as absent.

    classes: name -> 1, 0 or NaN (not labelled). mask: (K, *S) bool, may overlap, named by `structures`;
    known: (K,) bool, False where a structure was not contoured. landmarks: name -> voxel (ndim,), absent where
    not seen. boxes: name -> (n, 2 * ndim) start and stop in voxels.
    """

    classes: Mapping[str, float] = field(default_factory=dict)
    structures: tuple[str, ...] = ()
    mask: Array | None = None
    known: Array | None = None
    landmarks: Mapping[str, Array] = field(default_factory=dict)
    boxes: Mapping[str, Array] = field(default_factory=dict)
