"""The images that a measure or a probe looks at, prepared as an encoder was trained to see them, and what is known of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vesalius.data.cache import key_hash
from vesalius.data.datasets import Dataset
from vesalius.data.prepare import Prepared, prepare, prepare_labels, prepare_points, steps_to_json
from vesalius.data.scan import Array
from vesalius.data.shelf import Shelf
from vesalius.data.steps import Step
from vesalius.errors import DataError
from vesalius.progress import shower
from vesalius.space.box import Box
from vesalius.views.intensity import to_unit
from vesalius.views.overlap import AIR

Points = Mapping[str, Mapping[str, ArrayLike]]  # image id -> name -> voxel coordinates in the image as stored


@dataclass(frozen=True, eq=False)
class Subject:
    """One prepared image and its labels. id and patient are keyed hashes.

    pixels: (C, *S) as stored. landmarks: name -> (ndim,) voxel coordinates, those inside the image.
    packed: the masks of `structures`, 8 to a byte. classes: name -> 1, 0 or NaN (not labelled).
    spacing: mm from voxel to voxel along each axis; None: unknown. affine: (ndim + 1, ndim + 1), voxels of the prepared
    image to RAS+ mm in the scanner; None: unknown. inside: which voxels are body, 8 to a byte, flat; None:
    not told from the air round it.
    """

    id: str
    patient: str
    pixels: Array
    unit: str
    landmarks: Mapping[str, NDArray[np.float64]]
    structures: tuple[str, ...] = ()
    packed: Array | None = None
    classes: Mapping[str, float] = field(default_factory=dict)
    spacing: tuple[float, ...] | None = None
    inside: Array | None = None
    affine: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.pixels.shape[1:])

    @property
    def diagonal(self) -> float:
        """Of the image, in voxels."""
        return float(np.linalg.norm(self.shape))

    @property
    def image(self) -> Tensor:
        """(C, *S) float in 0..1."""
        return to_unit(torch.from_numpy(self.pixels), self.unit)

    @property
    def air(self) -> float:
        """What stands for nothing, in 0..1, as pretraining pads with it: air where the unit is HU, else 0."""
        return float(to_unit(torch.tensor(AIR), self.unit)) if self.unit == "HU" else 0.0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(K, *S) of `structures`; K = 0 where none is known."""
        if self.packed is None:
            return np.zeros((0, *self.shape), bool)
        return np.unpackbits(self.packed, axis=0, count=len(self.structures)).astype(bool)

    @property
    def body(self) -> NDArray[np.bool_]:
        """(*S), True in the body; all of it where the body is not known."""
        if self.inside is None:
            return np.ones(self.shape, bool)
        return np.unpackbits(self.inside, count=int(np.prod(self.shape))).astype(bool).reshape(self.shape)

    def crop(self, box: Box) -> Tensor:
        """(C, *box.shape) float in 0..1: a part of the image."""
        return to_unit(torch.from_numpy(np.ascontiguousarray(self.pixels[(slice(None), *box.slices)])), self.unit)

    def planes(self, names: Sequence[str], box: Box) -> NDArray[np.bool_]:
        """(len(names), *box.shape): a part of the masks; False where a structure is not known."""
        found = np.zeros((len(names), *box.shape), bool)
        if self.packed is not None:
            part = np.unpackbits(self.packed[(slice(None), *box.slices)], axis=0, count=len(self.structures))
            for k, name in enumerate(names):
                if name in self.structures:
                    found[k] = part[self.structures.index(name)]
        return found

    def structure(self, name: str) -> NDArray[np.bool_]:
        """(*S) the mask of one structure, of those that are known. KeyError where it is not."""
        if self.packed is None or name not in self.structures:
            raise KeyError(name)
        k = self.structures.index(name)
        return np.asarray(self.packed[k // 8] >> (7 - k % 8) & 1, bool)

    @property
    def centroids(self) -> dict[str, NDArray[np.float64]]:
        """Name -> (ndim,) mean voxel of each known structure that has any: it may lie outside of the structure."""
        found = {name: np.argwhere(self.structure(name)) for name in self.structures}
        return {name: voxels.mean(0) for name, voxels in found.items() if len(voxels)}

    def mm(self, offsets: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(N, ndim) voxels -> (N,) length in mm; None where the file does not say how large a voxel is."""
        return None if self.spacing is None else np.linalg.norm(offsets * np.array(self.spacing), axis=1)


def load(
    data: Dataset,
    ids: Sequence[str],
    steps: Sequence[Step],
    key: bytes,
    points: Points | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Subject]:
    """The images called `ids` through `steps`; hashed with `key`. points: landmarks in place of the data set's own.

    What the memory does not hold lies in a file. DataError: an image that cannot be read or prepared.
    """
    subjects, shelf = [], Shelf()
    for done, id in enumerate(ids, 1):
        one = _subject(data, id, steps, key, points)
        packed = None if one.packed is None else shelf.keep(one.packed)
        subjects.append(replace(one, pixels=shelf.keep(one.pixels), packed=packed))
        if progress is not None:
            progress(done, len(ids))
    return subjects


@dataclass
class Reader:
    """Some images, then others, by preparation: runs that see them alike share them, and each file is read once."""

    data: Dataset
    ids: Sequence[str]
    others: Sequence[str]
    key: bytes
    points: Points | None = None
    _held: tuple[list[dict[str, Any]], list[Subject]] | None = None

    def __call__(self, steps: Sequence[Step]) -> tuple[list[Subject], list[Subject]]:
        """The subjects of `ids` and of `others`, through `steps`. Errors: those of `load`."""
        said = steps_to_json(steps)
        if self._held is None or self._held[0] != said:
            both = load(self.data, (*self.ids, *self.others), steps, self.key, self.points, shower("reading images"))
            self._held = (said, both)
        n = len(self.ids)
        return self._held[1][:n], self._held[1][n:]


def unlabelled(prepared: Prepared) -> Subject:
    """A prepared image of which nothing else is known: in memory alone, so its names are not hashed."""
    scan = prepared.scan
    pixels = np.require(scan.image, requirements="W")  # torch takes no read-only array, as some decoders give
    inside = None if scan.body is None else np.packbits(scan.body)
    return Subject(scan.id, scan.patient, pixels, scan.unit, {}, inside=inside)


def _subject(data: Dataset, id: str, steps: Sequence[Step], key: bytes, points: Points | None) -> Subject:
    scan = data.read(id)
    prepared = prepare(scan, steps)
    shape = np.array(prepared.scan.shape)
    labels = prepare_labels(data.labels(id), steps, prepared.trace)
    found = dict(labels.landmarks)
    if points is not None:
        stored = {name: np.asarray(point, np.float64)[None] for name, point in points.get(id, {}).items()}
        if any(point.shape != (1, scan.ndim) for point in stored.values()):
            raise DataError(
                f"has points that are not {scan.ndim}-D", file=id, remedy="Give x,y for images, x,y,z for volumes."
            )
        found = {name: prepare_points(point, steps, prepared.trace)[0] for name, point in stored.items()}
    inside = {name: p for name, p in found.items() if np.all((p >= -0.5) & (p <= shape - 0.5))}
    packed = None
    known: tuple[str, ...] = ()
    if labels.mask is not None:
        sure = np.ones(len(labels.structures), bool) if labels.known is None else np.asarray(labels.known)
        known = tuple(name for name, is_known in zip(labels.structures, sure, strict=True) if is_known)
        packed = np.packbits(labels.mask[sure], axis=0)
    return Subject(
        id=key_hash(key, id),
        patient=key_hash(key, data.patient(id)),
        pixels=prepared.scan.image,
        unit=prepared.scan.unit,
        landmarks=inside,
        structures=known,
        packed=packed,
        classes=labels.classes,
        spacing=prepared.scan.spacing,
        inside=None if prepared.scan.body is None else np.packbits(prepared.scan.body),
        affine=prepared.scan.affine,
    )
