"""FLARE22 as it is unpacked: labelled and unlabelled training volumes, and validation."""

from pathlib import Path

from fakes.volumes import TURNED, ct, dots, save

IMAGES, PATIENTS, LABELLED = 5, 5, 2


def write(root: Path) -> Path:
    """Two labelled, three unlabelled with a diagonal affine and one without, one of validation."""
    for number in (1, 2):
        home = root / "Training/FLARE22_LabeledCase50"
        save(home / f"images/FLARE22_Tr_{number:04}_0000.nii.gz", ct(number))
        save(home / f"labels/FLARE22_Tr_{number:04}.nii.gz", dots(range(1, 14), number))
    for number in (3, 4):
        save(root / f"Training/FLARE22_UnlabeledCase1-1000/TU_{number:04}_0000.nii.gz", ct(number))
    save(root / "Training/FLARE22_UnlabeledCase1001-2000/TU_0005_0000.nii.gz", ct(5), TURNED)
    save(root / "Training/FLARE22_UnlabeledCase1001-2000/Case_01001_0000.nii.gz", ct(6))
    save(root / "Validation/FLARETs_0001_0000.nii.gz", ct(7))
    return root
