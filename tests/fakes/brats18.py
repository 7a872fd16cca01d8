"""BraTS 2018 as it is unpacked: HGG and LGG, a folder a patient, a file a modality; a patient of the validation part."""

from pathlib import Path

import numpy as np

from fakes.volumes import SHAPE, dots, mr, save

ORDER = ("t1", "t2", "flair", "t1ce")  # of the channels
HOMES = {
    "Brats18_2013_2_1": "HGG",
    "Brats18_TCIA01_150_1": "HGG",
    "Brats18_CBICA_AAB_1": "HGG",
    "Brats18_2013_0_1": "LGG",
}
IMAGES, PATIENTS, LABELLED = 5, 5, 4


def write(root: Path) -> Path:
    """Four patients with label maps, that of low grade without enhancing tumour; one without label map."""
    for number, (case, home) in enumerate({**HOMES, "Brats18_CBICA_ABT_1": "validation"}.items()):
        folder = root / home / case
        for channel, name in enumerate(ORDER):
            save(folder / f"{case}_{name}.nii.gz", image(number, channel))
        if home != "validation":
            values = (1, 2, 2, 4) if home == "HGG" else (1, 2, 2)
            save(folder / f"{case}_seg.nii.gz", dots(values, number).astype(np.uint8))
    (root / "HGG" / "survival_data.csv").write_text("BraTS18ID,Age,Survival\n")
    return root


def image(number: int, channel: int) -> np.ndarray:
    """(*SHAPE) uint16: of each modality on another scale."""
    return (mr(10 * number + channel, SHAPE) * (channel + 1)).astype(np.uint16)
