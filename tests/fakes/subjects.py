"""Subjects without files: what measures and protocols are given, made from nothing."""

from collections.abc import Sequence

import numpy as np

from vesalius.features.subjects import Subject


def of_patients(patients: Sequence[str], side: int = 4) -> list[Subject]:
    """A black image of each patient named, in order."""
    return [
        Subject(f"i{i}", patient, np.zeros((1, side, side), np.uint8), "0..1", {}) for i, patient in enumerate(patients)
    ]
