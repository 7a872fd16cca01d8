"""phantom: synthetic bodies, each with its own anatomy and pose. Not real people: for demonstrations and tests.

Everything follows from (seed, body, image), so nothing is stored, and body 7 of seed 0 is the same whatever else is
asked for. A radiograph (ndim=2) and a volume (ndim=3) of one id show the same body in the same pose. Structures and
landmarks are exact: they come from the shapes, not from the pixels.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from vesalius.chance import generator
from vesalius.data.datasets import Facts
from vesalius.data.phantom import anatomy, radiograph, volume
from vesalius.data.phantom.frame import STRUCTURES
from vesalius.data.phantom.pose import Pose
from vesalius.data.scan import Labels, Scan
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="phantom",
    title="Synthetic bodies: chest radiographs and CT volumes of the trunk",
    modality="synthetic radiograph or CT",
    ndim=2,
    images=0,
    patients=0,
    licence="Apache-2.0",
    cite="",
)
DEEP = ("kidney_right", "kidney_left", "liver", "spleen")  # landmarks that a chest radiograph does not show
BODY, TISSUE, POSE, BEAM = range(4)  # what a stream of random numbers is for


@lru_cache(maxsize=4)
def _body(seed: int, index: int) -> anatomy.Body:
    return anatomy.body(generator(seed, index, BODY))


@dataclass(frozen=True)
class Dataset:
    """Options. bodies: how many, from body `first` on; images: of each, in new poses; ndim: 2 radiographs, 3 volumes.

    size: side of a radiograph in pixels; voxel: side of a voxel in mm. SettingError for values that make no image.
    """

    bodies: int = 64
    seed: int = 0
    ndim: int = 2
    images: int = 1
    first: int = 0
    size: int = 256
    voxel: float = 3.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("bodies", 1, 10**6),
            ("seed", 0, 2**63),
            ("ndim", 2, 3),
            ("images", 1, 10**6),
            ("first", 0, 10**9),
            ("size", 32, 2048),
            ("voxel", 1, 12),
        ):
            if not low <= getattr(self, name) <= high:
                reason = f"option {name}={getattr(self, name)} of data set 'phantom' is impossible"
                raise SettingError(reason, remedy=f"Give a value from {low} to {high}.")

    @cached_property
    def _where(self) -> dict[str, tuple[int, int]]:
        """Id -> body, image."""
        every = range(self.first, self.first + self.bodies)
        return dict(sorted((f"body{k:04d}-{j}", (k, j)) for k in every for j in range(self.images)))

    @property
    def ids(self) -> tuple[str, ...]:
        """body0000-0, ...: body and image."""
        return tuple(self._where)

    def patient(self, id: str, /) -> str:
        """The body: all its images are one patient."""
        return f"body{self._at(id)[0]:04d}"

    def path(self, id: str, /) -> Path | None:
        """No file: images are made when they are read."""
        self._at(id)
        return None

    def content(self, id: str, /) -> str:
        """Blake2b, 128 bits in hex, of everything that decides the pixels."""
        scale = self.size if self.ndim == 2 else self.voxel
        made_of = ("phantom", anatomy.VERSION, self.seed, *self._at(id), self.ndim, scale)
        return hashlib.blake2b(repr(made_of).encode(), digest_size=16).hexdigest()

    def pose(self, id: str, /) -> Pose:
        """How the body of this image stands; `pose(id).pixel(mm, size)` is where its radiograph shows a world point."""
        k, j = self._at(id)
        return Pose.draw(generator(self.seed, k, POSE, j), _body(self.seed, k).scale)

    def read(self, id: str, /) -> Scan:
        """(1, size, size) uint8 in 0..1, bone bright; or (1, x, y, z) int16 HU in RAS+ order."""
        k, j = self._at(id)
        body, pose = _body(self.seed, k), self.pose(id)
        tissue, beam = generator(self.seed, k, TISSUE), generator(self.seed, k, BEAM, j)
        sex = "F" if body.female else "M"
        if self.ndim == 2:
            image = radiograph.radiograph(body, pose, self.size, tissue, beam)[None]
            meta = {"modality": "DX", "view": "PA", "sex": sex}
            return Scan(image, "0..1", id, self.patient(id), (pose.field / self.size,) * 2, None, meta)
        voxels = volume.volume(body, pose, self.voxel, tissue, beam)[None]
        meta = {"modality": "CT", "sex": sex}
        return Scan(voxels, "HU", id, self.patient(id), (self.voxel,) * 3, volume.affine(self.voxel), meta)

    def labels(self, id: str, /) -> Labels:
        """Masks of STRUCTURES (a shadow may lie over another), all known; landmarks inside the image; organ boxes."""
        k, _ = self._at(id)
        body, pose = _body(self.seed, k), self.pose(id)
        if self.ndim == 2:
            mask = radiograph.shadows(body, pose, self.size)
        else:
            mask = volume.masks(body, pose, self.voxel)
        boxes = {name: _box(mask[n])[None] for n, name in enumerate(STRUCTURES) if mask[n].any()}
        return Labels({}, STRUCTURES, mask, np.ones(len(STRUCTURES), bool), self.landmarks(id), boxes)

    def landmarks(self, id: str, /) -> dict[str, np.ndarray]:
        """Name -> (ndim,) voxel coordinates, of those inside the image; quick, since no mask is made."""
        pose, found = self.pose(id), {}
        shape = (self.size, self.size) if self.ndim == 2 else volume.shape(self.voxel)
        origin = volume.affine(self.voxel)[:3, 3]
        for name, point in _body(self.seed, self._at(id)[0]).landmarks.items():
            world = pose.world(point)
            place = pose.pixel(world, self.size) if self.ndim == 2 else (world - origin) / self.voxel
            if not (self.ndim == 2 and name in DEEP) and np.all((place >= 0) & (place <= np.array(shape) - 1)):
                found[name] = place
        return found

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Every fifth body is for testing, whichever bodies were asked for."""
        test = tuple(id for id, (k, _) in self._where.items() if k % 5 == 4)
        return {"train": tuple(id for id, (k, _) in self._where.items() if k % 5 != 4), "test": test}

    def _at(self, id: str) -> tuple[int, int]:
        if id not in self._where:
            raise DataError(f"no image {id!r} in this phantom", remedy=f"There are {self.ids[0]} to {self.ids[-1]}.")
        return self._where[id]


def _box(mask: np.ndarray) -> np.ndarray:
    """(2 * ndim,) start and stop of the voxels that are set."""
    inside = np.nonzero(mask)
    return np.array([axis.min() for axis in inside] + [axis.max() + 1 for axis in inside])
