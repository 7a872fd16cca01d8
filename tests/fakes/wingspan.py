"""Wingspan as it lies on disk: images/, masks/ with one bit a structure, ctr.csv, landmarks_512px.csv with x and y."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

POINTS = (
    "H_bottom", "H_imgleft", "H_imgright", "H_top", "LL_apex", "LL_cardiophrenic", "LL_costophrenic", "LL_lateral",
    "RL_apex", "RL_cardiophrenic", "RL_costophrenic", "RL_lateral",
)  # fmt: skip
LEFT, RIGHT, HEART = (slice(20, 60), slice(55, 80)), (slice(20, 60), slice(16, 40)), (slice(50, 70), slice(35, 60))


def write(root: Path, images: int = 4, side: int = 96, seed: int = 0) -> Path:
    """Images of `side`; the lungs and the heart are boxes, of which heart and left lung overlap."""
    rng = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    mask = np.zeros((side, side), np.uint8)
    for bit, box in enumerate((LEFT, RIGHT, HEART)):
        mask[box] |= 1 << bit
    points, ctr = (
        [",".join(["image", *(f"{name}_{axis}" for name in POINTS for axis in "xy")])],
        ["image,ctr_ground_truth"],
    )
    for number in range(1, images + 1):
        name = f"wingspan_{number:03}"
        Image.fromarray(radiograph(rng, (side, side))).save(root / "images" / f"{name}.jpg", quality=95)
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
        points.append(",".join([name, *(f"{10 * i + number},{20 + i}" for i in range(len(POINTS)))]))
        ctr.append(f"{name},{'' if number == 1 else 0.5}")
    (root / "landmarks_512px.csv").write_text("\n".join(points) + "\n")
    (root / "ctr.csv").write_text("\n".join(ctr) + "\n")
    (root / "test.txt").write_text("wingspan_002\n")
    return root
