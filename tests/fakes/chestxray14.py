"""ChestX-ray14 as it is unpacked: images_001/images/, the table with its split header, two lists, boxes; one RGBA PNG."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = (  # the last image is in the table and not on disk
    "00000001_000.png,Cardiomegaly,0,1,58,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,AP,2500,2048,0.168,0.168,",
    "00000002_000.png,No Finding,0,2,414,F,PA,2048,2500,0.168,0.168,",
    "00000003_000.png,Hernia,0,3,074Y,F,PA,2582,2991,0.143,0.143,",
    "00000004_000.png,Mass|Nodule,0,4,82,M,AP,2500,2048,0.168,0.168,",
)
BOXES = ("Image Index,Finding Label,Bbox [x,y,w,h],,,", "00000001_000.png,Infiltrate,256,512,128,64,,,")


def write(root: Path, side: int = 64, seed: int = 0) -> Path:
    """Four images of three patients in two folders; patient 1 and 2 are train_val, 3 and 4 test."""
    rng = np.random.default_rng(seed)
    for number, row in enumerate(ROWS[:-1]):
        folder = root / f"images_{1 + number // 2:03}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(radiograph(rng, (side, side)))
        (image.convert("RGBA") if number == 1 else image).save(folder / row.split(",")[0])
    names = [row.split(",")[0] for row in ROWS]
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join((HEADER, *ROWS)) + "\n")
    (root / "train_val_list.txt").write_text("\n".join(names[:3]))
    (root / "test_list.txt").write_text("\n".join(names[3:]))
    (root / "BBox_List_2017.csv").write_text("\n".join(BOXES) + "\n")
    return root
