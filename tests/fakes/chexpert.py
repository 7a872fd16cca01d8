"""CheXpert-v1.0-small as it is unpacked: train/patient00001/study1/view1_frontal.jpg, train.csv, valid.csv."""

from pathlib import Path

import numpy as np
from PIL import Image

from fakes.pictures import radiograph

HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
ROWS = {  # path -> the rest of its row
    "train/patient00001/study1/view1_frontal.jpg": "Female,68,Frontal,AP,1.0,,,,,,,,-1.0,0.0,,,,1.0",
    "train/patient00002/study1/view1_frontal.jpg": "Male,90,Frontal,PA,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,",
    "train/patient00002/study1/view2_lateral.jpg": "Male,90,Lateral,,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,",
    "valid/patient64541/study1/view1_frontal.jpg": "Male,73,Frontal,AP,0.0,1.0,1.0,1.0" + 10 * ",0.0",
    "valid/patient64542/study1/view1_frontal.jpg": "Female,7,Frontal,PA,1.0" + 13 * ",0.0",
}


def write(root: Path, seed: int = 0) -> Path:
    """Two patients in training, of which one has a lateral view too, and two in validation."""
    rng = np.random.default_rng(seed)
    for path in ROWS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(radiograph(rng, (48, 40))).save(root / path, quality=95)
    for split in ("train", "valid"):
        rows = [f"CheXpert-v1.0-small/{path},{rest}" for path, rest in ROWS.items() if path.startswith(split)]
        (root / f"{split}.csv").write_text("\n".join((HEADER, *rows)) + "\n")
    return root
