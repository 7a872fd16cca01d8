"""A cached scan that lives in memory: what crops need, without a disk."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vesalius.space.box import Box


@dataclass(frozen=True)
class MemoryScan:
    """Random voxels as the cache holds them: uint8 radiographs, int16 HU volumes."""

    image: np.ndarray
    index: int = 0
    unit: str = "0..1"
    mask: np.ndarray | None = None  # (*S) bool: the body

    @classmethod
    def random(cls, seed: int, ndim: int, side: int = 48, index: int = 0) -> "MemoryScan":
        rng = np.random.default_rng(seed)
        if ndim == 2:
            return cls(rng.integers(0, 256, (1, side, side + 8), np.uint8), index)
        return cls(rng.integers(-1000, 1000, (1, side, side, side + 4)).astype(np.int16), index, "HU")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.image.shape[1:]

    @property
    def dtype(self) -> Any:
        return self.image.dtype

    def read(self, box: Box | None = None) -> np.ndarray:
        return self.image if box is None else self.image[:, *box.slices]

    @property
    def has_body(self) -> bool:
        return self.mask is not None

    def body(self, box: Box | None = None) -> np.ndarray:
        mask = np.ones(self.shape, bool) if self.mask is None else self.mask
        return mask if box is None else mask[box.slices]

    def sample_body_voxel(self, rng: np.random.Generator) -> tuple[int, ...]:
        places = np.argwhere(self.body())
        return tuple(map(int, places[rng.integers(len(places))]))
