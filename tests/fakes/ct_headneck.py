"""Head and neck CT: images, labels, unlabelled, dataset.json. pt_2 was contoured without the larynx (6)."""

import json
from pathlib import Path

from fakes.volumes import ct, dots, save

ORGANS = ("brainstem", "spinal_cord", "parotid_right", "parotid_left", "esophagus", "larynx", "mandible")
SPLITS = {1: "train", 2: "train", 3: "validation", 4: "test"}
IMAGES, PATIENTS, LABELLED = 6, 6, 4


def write(root: Path) -> Path:
    """Four cases with labels, two without."""
    for number in range(1, 7):
        save(root / ("images" if number in SPLITS else "unlabelled") / f"pt_{number}.nii.gz", ct(number))
    for number in SPLITS:
        save(root / f"labels/pt_{number}.nii.gz", dots({*range(1, 8)} - ({6} if number == 2 else set()), number))
    described = {
        "labels": {"0": "background", **{str(value): name for value, name in enumerate(ORGANS, 1)}},
        "cases": [
            {"id": f"pt_{number}", "split": split, "suspect": ["SpinalCord"] if number == 1 else []}
            for number, split in SPLITS.items()
        ],
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return root
