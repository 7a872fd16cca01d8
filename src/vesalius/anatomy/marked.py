"""What is known of the images to be measured: which structures are looked at, and landmarks of volumes that have none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vesalius.errors import SettingError
from vesalius.features.subjects import Subject


def marked(
    subjects: Sequence[Subject], annotated: Sequence[Subject], structures: Sequence[str], file: str
) -> tuple[list[Subject], list[Subject]]:
    """Landmarks and masks called `structures`, or all. Where not one of these volumes has a landmark, the centroids of its
    structures become its landmarks, of those that are contoured there; not of images, where masks are often of findings.

    SettingError: no image has a structure of that name.
    """
    everyone = [*subjects, *annotated]
    if everyone and len(everyone[0].shape) == 3 and not any(subject.landmarks for subject in everyone):
        everyone = [replace(subject, landmarks=subject.centroids) for subject in everyone]
    known = dict.fromkeys(name for subject in everyone for name in (*subject.landmarks, *subject.structures))
    if strange := [name for name in structures if name not in known]:
        remedy = f"There: {', '.join(known) or 'none'}."
        raise SettingError(f"no image has a structure {strange[0]!r}", file=file, remedy=remedy)
    if structures:
        everyone = [_only(subject, structures) for subject in everyone]
    return everyone[: len(subjects)], everyone[len(subjects) :]


def _only(subject: Subject, names: Sequence[str]) -> Subject:
    kept = tuple(name for name in subject.structures if name in names)
    packed = np.packbits(np.stack([subject.structure(name) for name in kept]), axis=0) if kept else None
    marks = {name: point for name, point in subject.landmarks.items() if name in names}
    return replace(subject, landmarks=marks, structures=kept, packed=packed)
