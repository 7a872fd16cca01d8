"""BTCV as it is unpacked: RawData/Training/{img,label} and RawData/Testing/img."""

from pathlib import Path

from fakes.volumes import ct, dots, save

TRAIN, TEST = 6, 1
IMAGES, PATIENTS, LABELLED = 7, 7, 6


def write(root: Path) -> Path:
    """Volumes 1 to 6 with labels; volume 61 without."""
    for number in range(1, TRAIN + 1):
        save(root / f"RawData/Training/img/img{number:04}.nii.gz", ct(number))
        save(root / f"RawData/Training/label/label{number:04}.nii.gz", dots(range(1, 14), number))
    save(root / "RawData/Testing/img/img0061.nii.gz", ct(61))
    return root
