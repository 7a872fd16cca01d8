"""Kermany as it is unpacked: chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/; `table` writes labels.csv beside."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

FILES = (
    "train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/IM-0115-0001-0002.jpeg", "train/NORMAL/NORMAL2-IM-0486-0001.jpeg",
    "train/PNEUMONIA/person3_bacteria_10.jpeg", "train/PNEUMONIA/person3_bacteria_11.jpeg",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg", "val/PNEUMONIA/BACTERIA-40699-0001.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg", "test/PNEUMONIA/person3_virus_15.jpeg", "test/PNEUMONIA/person78_bacteria_378.jpeg",
)  # fmt: skip
IMAGES, PATIENTS = 10, 8


def write(root: Path, table: bool = False, seed: int = 0) -> Path:
    """Ten images of eight children; person 3 of bacteria and person 3 of virus are two."""
    rng, home = np.random.default_rng(seed), root if table else root / "chest_xray"
    for file in FILES:
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(radiograph(rng)).save(home / file, quality=95)
    if table:
        rows = [",".join((file, *file.split("/")[:2], "", "")) for file in FILES]
        (root / "labels.csv").write_text("\n".join(("file,split,label,agent,patient", *rows)) + "\n")
    return root
