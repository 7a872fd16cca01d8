"""Small CT and MR volumes and their label maps as NIfTI, no two alike."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (8, 7, 6)
LPS = np.array([[-1.5, 0, 0, 60], [0, -1.5, 0, 50], [0, 0, 3.0, -90], [0, 0, 0, 1]])  # as most CT is stored
TURNED = np.array([[0, -1.5, 0, 60], [-1.5, 0, 0, 50], [0, 0, 3.0, -90], [0, 0, 0, 1]])


def ct(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """(*shape) int16: a patient of about 40 HU in air."""
    image = np.full(shape, -1000, np.int16)
    inside = tuple(slice(1, -1) for _ in shape)
    image[inside] = np.random.default_rng(seed).integers(0, 80, image[inside].shape)
    return image


def mr(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """(*shape) uint16 from 0 to 999."""
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(np.uint16)


def dots(values: Iterable[int], seed: int = 0) -> np.ndarray:
    """SHAPE uint16: each value in a voxel of its own, never at the border; `seed` moves them."""
    inside = np.zeros(tuple(side - 2 for side in SHAPE), np.uint16)
    places = np.random.default_rng(seed).permutation(inside.size)
    for value, place in zip(values, places, strict=False):
        inside.flat[place] = value
    return np.pad(inside, 1)


def save(path: Path, image: np.ndarray, affine: np.ndarray = LPS) -> Path:
    """A NIfTI file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(image, affine), path)
    return path
