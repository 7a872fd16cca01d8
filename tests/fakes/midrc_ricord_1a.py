"""MIDRC-RICORD-1a as it is unpacked."""

from pathlib import Path

from fakes.tcia import write_series

IMAGES, PATIENTS, LABELLED = 3, 2, 0


def write(root: Path) -> Path:
    """Two patients, the first with two series; the name of the collection in both of its spellings."""
    patients = {"MIDRC-RICORD-1A-419639-000082": (4, 3), "MIDRC-RICORD-1a-440808-000019": (3,)}
    return write_series(root, patients, "MIDRC-RICORD-1A")
