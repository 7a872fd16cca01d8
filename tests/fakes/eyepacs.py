"""EyePACS as it comes from Kaggle: trainLabels.csv, train/10_left.jpeg, test/1_left.jpeg."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import fundus

LEVELS = {"10_left": 0, "10_right": 0, "13_left": 2, "13_right": 4}
TEST = ("1_left", "1_right")


def write(root: Path, seed: int = 0) -> Path:
    """Two people in training, one in test."""
    rng = np.random.default_rng(seed)
    for folder, names in (("train", LEVELS), ("test", TEST)):
        (root / folder).mkdir(parents=True)
        for name in names:
            Image.fromarray(fundus(rng)).save(root / folder / f"{name}.jpeg", quality=95)
    rows = [f"{name},{level}" for name, level in LEVELS.items()]
    (root / "trainLabels.csv").write_text("\n".join(("image,level", *rows)) + "\n")
    return root
