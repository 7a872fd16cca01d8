"""AMOS as it is unpacked: images and labels of Tr and Va, images of Ts; numbers above 500 are MR."""

from pathlib import Path

from fakes.volumes import ct, dots, mr, save

PARTS = {"Tr": (1, 4, 507), "Va": (8, 510), "Ts": (2, 600)}
IMAGES, PATIENTS, LABELLED, QUERY = 7, 7, 5, "?modality=all"


def write(root: Path) -> Path:
    """Four CT and three MR; the labels of MR lack bladder and prostate (14, 15), those of CT the gallbladder (4)."""
    for part, numbers in PARTS.items():
        for number in numbers:
            is_mr = number > 500
            save(root / f"images{part}/amos_{number:04}.nii.gz", mr(number) if is_mr else ct(number))
            if part != "Ts":
                present = range(1, 14) if is_mr else set(range(1, 16)) - {4}
                save(root / f"labels{part}/amos_{number:04}.nii.gz", dots(present, number))
    return root
