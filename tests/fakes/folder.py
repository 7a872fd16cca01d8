"""A folder of radiographs as people keep them: a folder a patient, a CSV beside, and what a file manager leaves behind."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph


def write(root: Path, patients: int = 3, images: int = 2, seed: int = 0) -> Path:
    """`p000/a0.png` ..., `manifest.csv` with image and patient, `._a0.png` and `__MACOSX/` that are no images."""
    rng = np.random.default_rng(seed)
    rows = [("image", "patient")]
    for patient in range(patients):
        (root / f"p{patient:03}").mkdir(parents=True)
        for number in range(images):
            name = f"p{patient:03}/a{number}.png"
            Image.fromarray(radiograph(rng)).save(root / name)
            rows.append((name, f"{patient:03}"))
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "p000" / "._a0.png").write_bytes(b"not an image")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "a0.png").write_bytes(b"not an image")
    return root
