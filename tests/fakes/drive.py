"""DRIVE as it is unpacked: training/ and test/ with images (TIFF), 1st_manual and mask (GIF), test/2nd_manual; or plain."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import fundus

SIDE, TRAIN, TEST = 64, (21, 22), (1, 2)
IMAGES, PATIENTS = 4, 4


def vessels(number: int) -> np.ndarray:
    """(H, W) bool: one column, which tells the photograph."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, number] = True
    return mask


def write(root: Path, plain: bool = False, seed: int = 0) -> Path:
    """Two photographs to train on and two to test; plain: train/vessels/21.png and the like."""
    rng = np.random.default_rng(seed)
    for part, numbers in (("training", TRAIN), ("test", TEST)):
        for number in numbers:
            image, mask, field = Image.fromarray(fundus(rng, SIDE)), vessels(number), np.ones((SIDE, SIDE), bool)
            n = f"{number:02}"
            if plain:
                home, names = root / part.removesuffix("ing"), (f"images/{n}.jpg", f"vessels/{n}.png", f"fov/{n}.png")
            else:
                home = root / part
                names = (f"images/{n}_{part}.tif", f"1st_manual/{n}_manual1.gif", f"mask/{n}_{part}_mask.gif")
            for name, content in zip(names, (image, as_picture(mask), as_picture(field)), strict=True):
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                content.save(home / name)
            if part == "test" and not plain:
                (home / "2nd_manual").mkdir(exist_ok=True)
                as_picture(~mask).save(home / "2nd_manual" / f"{n}_manual2.gif")
    return root


def as_picture(mask: np.ndarray) -> Image.Image:
    """0 and 255."""
    return Image.fromarray(mask * np.uint8(255))
