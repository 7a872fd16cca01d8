"""NSCLC-Radiomics as it is unpacked."""

from pathlib import Path

from fakes.tcia import write_series

IMAGES, PATIENTS, LABELLED = 2, 2, 0


def write(root: Path) -> Path:
    """Two patients."""
    return write_series(root, {"LUNG1-001": (4,), "LUNG1-002": (3,)}, "NSCLC-Radiomics")
