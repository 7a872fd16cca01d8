"""Shenzhen as it is unpacked: ChinaSet_AllFiles/CXR_png/, ClinicalReadings/; and lists of a split."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

READINGS = {
    "CHNCXR_0001_0": "Male  45yrs\nnormal\n",
    "CHNCXR_0002_0": "female 8 months\nnormal\n",
    "CHNCXR_0327_1": "Female 33yrs\n1. PTB in the right upper field\n2. pleurisy\n",
    "CHNCXR_0328_1": "",
}
IMAGES, PATIENTS, QUERY = 4, 4, "?train_list=train.txt&test_list=test.txt"


def write(root: Path, seed: int = 0) -> Path:
    """Two normal and two of tuberculosis, one each in train.txt and test.txt."""
    rng = np.random.default_rng(seed)
    home = root / "ChinaSet_AllFiles"
    for folder in ("CXR_png", "ClinicalReadings"):
        (home / folder).mkdir(parents=True)
    for name, reading in READINGS.items():
        Image.fromarray(radiograph(rng)).convert("RGB").save(home / "CXR_png" / f"{name}.png")
        (home / "ClinicalReadings" / f"{name}.txt").write_text(reading)
    (root / "train.txt").write_text("CHNCXR_0327_1.png,1\nCHNCXR_0001_0.png,0\n")
    (root / "test.txt").write_text("CHNCXR_0002_0.png 0\nCHNCXR_0328_1.png 1\n")
    return root
