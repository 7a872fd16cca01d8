"""A task of the Medical Segmentation Decathlon as it is unpacked, with the `._*` of its archives."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fakes.volumes import SHAPE, dots, mr, save

IMAGES, PATIENTS, LABELLED = 5, 5, 4


def write(root: Path, modalities: Sequence[str] = ("MRI",)) -> Path:
    """Four volumes with labels, one without; 4-D where there are several modalities."""
    shape = SHAPE if len(modalities) == 1 else (*SHAPE, len(modalities))
    names = {part: [f"hippocampus_{n:03}.nii.gz" for n in of] for part, of in (("Tr", range(1, 5)), ("Ts", (9,)))}
    for part, files in names.items():
        for number, name in enumerate(files):
            save(root / f"images{part}" / name, mr(number + 10 * (part == "Ts"), shape))
            (root / f"images{part}" / f"._{name}").write_bytes(b"not an image")
    for number, name in enumerate(names["Tr"]):
        save(root / "labelsTr" / name, dots((1, 2), number).astype(np.float32))
        (root / "labelsTr" / f"._{name}").write_bytes(b"not an image")
    described = {
        "name": "Hippocampus",
        "modality": {str(number): name for number, name in enumerate(modalities)},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names["Tr"]],
        "test": [f"./imagesTs/{name}" for name in names["Ts"]],
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return root
