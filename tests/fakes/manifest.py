"""One's own images and labels: a CSV with image, patient, split, two classes and two masks, some cells blank."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.drive import as_picture
from fakes.pictures import radiograph

HEADER = "image,patient,split,nodule,effusion,mask_heart,mask_lungs"
ROWS = (
    "scans/a1.png,007,train,1,,masks/heart.png,masks/lungs.png",
    "scans/a2.png,007,train,0,1,,masks/lungs.png",
    "scans/b1.png,008,test,,0,,",
    "scans/c1.png,009,,1,1,,",
)
IMAGES, PATIENTS, SIDE = 4, 3, 96


def write(root: Path, seed: int = 0) -> Path:
    """Four images of three patients. heart: rows to 20; lungs: columns to 30; map.png: 1 and 2 for the same, lungs above."""
    rng = np.random.default_rng(seed)
    for folder in ("scans", "masks"):
        (root / folder).mkdir(parents=True)
    for row in ROWS:
        Image.fromarray(radiograph(rng, (SIDE, SIDE))).save(root / row.partition(",")[0])
    heart, lungs = np.zeros((2, SIDE, SIDE), bool)
    heart[:20], lungs[:, :30] = True, True
    as_picture(heart).save(root / "masks" / "heart.png")
    as_picture(lungs).save(root / "masks" / "lungs.png")
    Image.fromarray(np.where(lungs, 2, heart).astype(np.uint8)).save(root / "masks" / "map.png")
    (root / "labels.csv").write_text("\n".join((HEADER, *ROWS)) + "\n")
    return root
