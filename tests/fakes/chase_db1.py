"""CHASE_DB1 as it is unpacked: everything in one folder; or plain: images/, vessels_1st/, vessels_2nd/."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.drive import SIDE, vessels
from fakes.pictures import fundus

IMAGES, PATIENTS = 4, 2


def write(root: Path, plain: bool = False, seed: int = 0) -> Path:
    """Both eyes of two children; the second observer marks what the first does not. Masks are of one bit, as published."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(("Image_01L", "Image_01R", "Image_02L", "Image_02R")):
        names = (f"{name}.jpg", f"{name}_1stHO.png", f"{name}_2ndHO.png")
        if plain:
            names = (f"images/{name}.jpg", f"vessels_1st/{name}.png", f"vessels_2nd/{name}.png")
        for file, content in zip(names, (fundus(rng, SIDE), vessels(number), ~vessels(number)), strict=True):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(root / file)
    return root
