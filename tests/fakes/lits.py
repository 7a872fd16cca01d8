"""LiTS as it is unpacked: two batches of volumes with label maps, and the challenge's test without."""

from pathlib import Path

from fakes.volumes import ct, dots, save

BATCHES = {"Training Batch 1": (0, 27), "Training Batch 2": (28, 130)}
IMAGES, PATIENTS, LABELLED = 5, 5, 4


def write(root: Path) -> Path:
    """Four volumes with liver (1) and tumour (2), the last without tumour; one without label map."""
    for batch, numbers in BATCHES.items():
        for number in numbers:
            save(root / batch / f"volume-{number}.nii", ct(number))
            values = (1, 1, 1, 2, 2) if number < 130 else (1, 1)
            save(root / batch / f"segmentation-{number}.nii", dots(values, number))
    save(root / "LITS-Challenge-Test-Data" / "test-volume-0.nii", ct(200))
    return root
