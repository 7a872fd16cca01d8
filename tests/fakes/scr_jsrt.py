"""JSRT and SCR as they are unpacked: All247images/*.IMG (raw, big-endian, air high), scratch/fold1/masks/heart/*.gif."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.drive import as_picture
from fakes.pictures import radiograph

SIDE, FOLDS = 2048, {"JPCLN001": 1, "JPCLN002": 2, "JPCNN001": 1}
STRUCTURES = ("heart", "left lung", "right lung", "left clavicle", "right clavicle")
IMAGES, PATIENTS = 3, 3


def shown(number: int) -> np.ndarray:
    """(2048, 2048) of 0..4080, bone high: the image that the file of this number holds inverted."""
    small = radiograph(np.random.default_rng(number), (128, 128))
    return small.astype(np.uint16).repeat(16, axis=0).repeat(16, axis=1) * np.uint16(16)


def write(root: Path) -> Path:
    """Three images in two folds; the masks are rows k of 64 x 64 blocks, k the place of the structure."""
    (root / "All247images").mkdir(parents=True)
    for number, (name, fold) in enumerate(FOLDS.items()):
        (4095 - shown(number)).astype(">u2").tofile(root / "All247images" / f"{name}.IMG")
        for k, structure in enumerate(STRUCTURES):
            folder = root / "scratch" / f"fold{fold}" / "masks" / structure
            folder.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((1024, 1024), bool)
            mask[64 * k : 64 * (k + 1)] = True
            picture: Image.Image = as_picture(mask)
            picture.save(folder / f"{name}.gif")
    return root
