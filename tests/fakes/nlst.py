"""NLST as it is unpacked: participants with several series each."""

from pathlib import Path

from fakes.tcia import write_series

IMAGES, PATIENTS, LABELLED, QUERY = 2, 2, 0, "?least=4"


def write(root: Path) -> Path:
    """Three participants: two series, of which the second is longer; two of one length; only a short one."""
    return write_series(root, {"100012": (4, 6), "100147": (5, 5), "100158": (3,)}, "NLST")
