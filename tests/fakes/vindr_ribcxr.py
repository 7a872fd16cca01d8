"""VinDr-RibCXR as it is handed out: data/train/img, data/val/img, and a JSON of polygons in either folder."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

SIDE = 96


def polygon(number: int, right: bool) -> list[dict[str, float]]:
    """A slanted band at a height of its own; neighbours overlap by a row or two."""
    x, y = (10 if right else 50), 6 + 8 * number
    return [{"x": x + dx + 0.4, "y": y + dy + 0.4} for dx, dy in ((0, 0), (30, 4), (30, 12), (0, 8))]


def write(root: Path, train: int = 3, val: int = 2, seed: int = 0) -> Path:
    """Of every image R10 is absent ("None"); the first image's L9 is not in the table at all."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        names = {str(i): f"data/{split}/img/VinDr_RibCXR_{split}_{i:03}.png" for i in range(count)}
        for name in names.values():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(radiograph(rng, (SIDE, SIDE))).save(root / name)
        table: dict[str, dict[str, object]] = {"img": dict(names)}
        for side in "RL":
            for number in range(1, 11):
                table[f"{side}{number}"] = dict.fromkeys(names, polygon(number - 1, side == "R"))
        table["R10"] = dict.fromkeys(names, "None")
        del table["L9"]["0"]
        (root / "data" / split / f"Vindr_RibCXR_{split}_mask.json").write_text(json.dumps(table))
    return root
