"""SIIM-ACR as it is unpacked: dicom-images-train/STUDY/SERIES/IMAGE.dcm, dicom-images-test/, train-rle.csv."""

from pathlib import Path

import numpy as np

from fakes.dicom import write as write_dicom
from fakes.pictures import radiograph

SIDE, STEM = 1024, "1.2.276.0.7230010.3.1.4.8323329"
TWICE, NONE, ONCE, TEST = (f"{STEM}.{number}" for number in (14508, 1034, 4904, 301))
ROWS = (  # runs down the columns; the second row of TWICE marks two pixels of the first column
    f"{TWICE}, {10 * SIDE + 5} 3 {SIDE - 3} 2",
    f"{TWICE}, 0 2",
    f"{NONE}, -1",
    f"{ONCE}, {SIDE * SIDE - 4} 4",
)
IMAGES, PATIENTS = 4, 4


def write(root: Path, seed: int = 0) -> Path:
    """Three images with rows, of which one has two and one has none marked; one test image."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate((TWICE, NONE, ONCE, TEST)):
        part = "test" if name == TEST else "train"
        folder = root / f"dicom-images-{part}" / f"1.2.{number}" / f"1.3.{number}"
        folder.mkdir(parents=True)
        pixels = radiograph(rng, (128, 128)).repeat(8, axis=0).repeat(8, axis=1)
        write_dicom(folder / f"{name}.dcm", pixels, PatientID=f"patient {number}", Modality="CR")
    (root / "train-rle.csv").write_text("\n".join(("ImageId, EncodedPixels", *ROWS)) + "\n")
    return root
