"""LIDC-IDRI as it is unpacked: series of CT, an XML of annotations, a radiograph."""

from pathlib import Path

from fakes.tcia import write_series

IMAGES, PATIENTS, LABELLED = 3, 2, 0


def write(root: Path) -> Path:
    """Two patients, the second with two series."""
    return write_series(root, {"LIDC-IDRI-0001": (4,), "LIDC-IDRI-0002": (3, 5)}, "manifest-1600709154662/LIDC-IDRI")
