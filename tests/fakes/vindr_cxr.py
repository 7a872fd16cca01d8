"""VinDr-CXR as it comes from PhysioNet: train/ID.dicom, test/ID.dicom, annotations/*.csv; three readers in training."""

from pathlib import Path

import numpy as np

from fakes import dicom
from fakes.pictures import radiograph

FINDINGS = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,Emphysema,"
    "Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pleural effusion,"
    "Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,"
    "Tuberculosis,Other diseases,No finding"
).split(",")
READERS = {  # image -> what each reader saw
    "a1": (("Edema", "Pneumonia"), ("Edema", "Other diseases"), ("Edema", "Pneumonia")),
    "b2": (("No finding",), ("No finding",), ("Rib fracture",)),
    "c3": (("Nodule/Mass",), ("No finding",), ("Pleural effusion",)),
}
TEST = {"d4": ("Other diseases",), "e5": ("No finding",)}
BOXES = (
    "image_id,rad_id,class_name,x_min,y_min,x_max,y_max",
    "a1,R8,Edema,10.5,20,30,40",
    "a1,R9,Edema,11,21,31,41",
    "b2,R8,No finding,,,,",
    "b2,R10,Rib fracture,1,2,3,4",
)


def _row(name: str, seen: tuple[str, ...], reader: str = "") -> str:
    return ",".join([name, *([reader] if reader else []), *(str(int(finding in seen)) for finding in FINDINGS)])


def write(root: Path, seed: int = 0) -> Path:
    """Three images in training, two in test, 16-bit DICOM."""
    rng = np.random.default_rng(seed)
    for split, names in (("train", READERS), ("test", TEST)):
        (root / split).mkdir(parents=True)
        for name in names:
            pixels = radiograph(rng, (48, 40)).astype(np.uint16) * 257
            dicom.write(root / split / f"{name}.dicom", pixels, PatientID="somebody", PatientSex="F")
    header = ",".join(FINDINGS)
    train = [_row(name, seen, f"R{8 + i}") for name, readers in READERS.items() for i, seen in enumerate(readers)]
    test = [_row(name, seen) for name, seen in TEST.items()]
    tables = {
        "image_labels_train": (f"image_id,rad_id,{header}", *train),
        "image_labels_test": (f"image_id,{header.replace('Other diseases', 'Other disease')}", *test),
        "annotations_train": BOXES,
        "annotations_test": ("image_id,class_name,x_min,y_min,x_max,y_max", "e5,No finding,,,,"),
    }
    (root / "annotations").mkdir()
    for name, lines in tables.items():
        (root / "annotations" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return root
