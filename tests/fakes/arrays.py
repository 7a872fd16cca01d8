"""A data set of .npy files, one scan each: as little as `data.build` needs, and it travels to worker processes."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from vesalius.data.scan import Labels, Scan
from vesalius.errors import DataError


@dataclass(frozen=True)
class Arrays:
    """Patient: the file name up to "_". A file named crash* ends the process that reads it."""

    root: Path
    prefix: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(p.name for p in self.root.glob("*.npy")))

    def patient(self, id: str, /) -> str:
        return self.prefix + id.split("_")[0]

    def path(self, id: str, /) -> Path:
        return self.root / id

    def content(self, id: str, /) -> str:
        return sha256(self.path(id).read_bytes()).hexdigest()

    def read(self, id: str, /) -> Scan:
        if id.startswith("crash"):
            os._exit(1)
        try:
            return Scan(np.load(self.path(id)), "0..1", id=id, patient=self.patient(id), spacing=(0.5, 0.5))
        except ValueError as error:
            raise DataError(f"not an array ({error})", file=self.path(id), remedy="Remove it.") from None

    def labels(self, id: str, /) -> Labels:
        return Labels()

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {}


def write_arrays(root: Path, count: int, shape: tuple[int, ...] = (1, 40, 50)) -> Arrays:
    """`count` random uint8 images, two a patient; those that are there stay as they are."""
    root.mkdir(exist_ok=True)
    for i in range(count):
        if (path := root / f"patient{i // 2}_{i:03d}.npy").exists():
            continue
        image = np.random.default_rng(i).integers(0, 256, shape, np.uint8)
        np.save(path, image)
    return Arrays(root)
