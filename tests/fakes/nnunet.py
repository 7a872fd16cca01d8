"""A data set in the raw layout of nnU-Net: two channels, three training cases, one to test on."""

import json
from pathlib import Path

from fakes.volumes import LPS, dots, mr, save

IMAGES, PATIENTS, LABELLED = 4, 4, 3
CHANNELS = {"0": "T1", "1": "T2"}
LABELS = {"background": 0, "whole tumour": [1, 2], "core": [2], "cyst": 3}
VERSION_1 = {"0": "background", "1": "edema", "2": "core", "3": "cyst"}


def write(root: Path, version: int = 2) -> Path:
    """Version 2 has regions that overlap, version 1 a value a structure; imagesTs has no labels."""
    for part, cases in (("Tr", ("brain_01a", "brain_01b", "brain_02")), ("Ts", ("brain_03",))):
        for seed, case in enumerate(cases, 10 * (part == "Ts")):
            for channel in CHANNELS:
                save(root / f"images{part}" / f"{case}_{int(channel):04}.nii.gz", mr(2 * seed + int(channel)), LPS)
            if part == "Tr":
                save(root / f"labelsTr/{case}.nii.gz", dots((1, 2, 2, 3), seed))
    two = {"channel_names": CHANNELS, "labels": LABELS, "file_ending": ".nii.gz"}
    described = two if version == 2 else {"modality": CHANNELS, "labels": VERSION_1}
    (root / "dataset.json").write_text(json.dumps(described))
    return root
