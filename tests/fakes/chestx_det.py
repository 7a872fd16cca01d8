"""ChestX-Det as it is unpacked: train/, test/, and beside them two JSON files of findings, boxes and polygons."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

SIDE = 64
LESIONS = {  # image -> finding, box x1 y1 x2 y2, polygon; the first two overlap
    "train": {
        "101": (
            ("Effusion", (10, 30, 29, 49), ((10, 30), (29, 30), (29, 49), (10, 49))),
            ("Consolidation", (20, 40, 39, 59), ((20, 40), (39, 40), (39, 59), (20, 59))),
            ("Effusion", (50, 5, 55, 8), ((50, 5), (55, 5), (55, 8), (50, 8))),
        ),
        "102": (),
        "103": (("Diffuse Nodule", (5, 5, 9, 9), ((5, 5), (9, 5), (9, 9), (5, 9))),),
    },
    "test": {"104": (("Mass", (0, 0, 3, 3), ((0, 0), (3, 0), (3, 3), (0, 3))),), "105": ()},
}


def write(root: Path, seed: int = 0) -> Path:
    """Three images in training, two in test."""
    rng = np.random.default_rng(seed)
    for split, images in LESIONS.items():
        (root / split).mkdir(parents=True)
        table = []
        for name, lesions in images.items():
            Image.fromarray(radiograph(rng, (SIDE, SIDE))).save(root / split / f"{name}.png")
            names, boxes, polygons = (
                (list(column) for column in zip(*lesions, strict=True)) if lesions else ([], [], [])
            )
            table.append({"file_name": f"{name}.png", "syms": names, "boxes": boxes, "polygons": polygons})
        (root / f"ChestX_Det_{split}.json").write_text(json.dumps(table))
    return root
