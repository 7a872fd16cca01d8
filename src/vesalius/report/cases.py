"""Worst cases side by side: image, truth, and what each run found, for the patients with the lowest Dice.

Rows named `case`, one a run, patient and training: `value` is that patient's Dice, mean over structures, and `artefact` an
.npz of `image` (H, W) uint8, `truth` and `found` (K, H, W) bool, `structures` (K,) str. Of volumes, one slice.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import DataError
from vesalius.report.efficiency import Shots
from vesalius.report.folders import Arrays, arrays_of
from vesalius.report.leaks import marked
from vesalius.report.overlays import QUALITY
from vesalius.report.paired import CASE
from vesalius.report.plots import Picture
from vesalius.report.tables import number
from vesalius.results import Row

Array = NDArray[Any]
# Okabe and Ito's, bright enough over radiographs; of more structures than these, colours come again.
COLOURS = ("#56B4E9", "#F0A21B", "#3DCB9C", "#E58FBF", "#F0E442", "#E8743B")
TINT = 0.38  # of a mask's colour over the image
LONGEST = 384  # px of a picture's longer side; larger images are thinned out
LEGEND = (
    "Coloured: a structure; white: outlines of the truth. First the patients whose Dice, the mean over structures and runs, "
    "is lowest: the pictures look worse than the average, which is in the tables."
)


@dataclass(frozen=True)
class Case:
    """One patient in one training: run -> row."""

    shots: Shots
    found: dict[str, Row]

    @property
    def dice(self) -> float:
        """Mean over runs."""
        return float(np.mean([row.value for row in self.found.values()]))


def worst(rows: Iterable[Row], most: int) -> dict[Shots, list[Case]]:
    """Of each number of labelled patients, the `most` patients with the lowest Dice, worst first, each in the worst of those
    trainings that the most runs have. Rows whose picture is gone, or without a number, are left out."""
    found: dict[tuple[Shots, str], dict[int | None, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row.name == CASE and np.isfinite(row.value) and Path(row.artefact).is_file():
            found[row.shots, row.patient][row.draw][row.run] = row
    cases: dict[Shots, list[Case]] = defaultdict(list)
    for (shots, _), draws in found.items():
        some = [Case(shots, runs) for runs in draws.values()]
        cases[shots].append(min(some, key=lambda case: (-len(case.found), case.dice)))
    return {shots: _lowest(some, most) for shots, some in cases.items()}


def _lowest(cases: Sequence[Case], most: int) -> list[Case]:
    """A patient whom few runs have would look better or worse than others only for that."""
    runs = max(len(case.found) for case in cases)
    return sorted((case for case in cases if len(case.found) == runs), key=lambda case: case.dice)[:most]


def structures(cases: Iterable[Case]) -> dict[str, str]:
    """Structure -> colour."""
    names = dict.fromkeys(
        str(name) for case in cases for row in case.found.values() for name in _read(row)["structures"]
    )
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def plates(case: Case, colours: Mapping[str, str], leaks: Mapping[str, str]) -> list[Picture]:
    """Image, truth, and what each run found. No words name the patient."""
    first = _read(next(iter(case.found.values())))
    found = [
        _photo(first["image"], "An image as it was measured.", "image"),
        _photo(_tinted(first, "truth", colours), "The same image with the true masks.", "truth"),
    ]
    for run, row in case.found.items():
        arrays, dice = _read(row), number(row.value)
        alt = f"The same image with the masks that {run} found, and outlines of the true ones: Dice {dice}."
        found.append(
            _photo(_outlined(_tinted(arrays, "found", colours), arrays), alt, f"{marked(run, leaks)}: Dice {dice}")
        )
    return found


def _read(row: Row) -> Arrays:
    """DataError where the arrays are not those of a case, every n-th pixel of large ones."""
    arrays = arrays_of(Path(row.artefact))
    shapes = [arrays[name].shape if name in arrays else None for name in ("image", "truth", "found", "structures")]
    if (
        None in shapes
        or len(shapes[0] or ()) != 2
        or not shapes[1] == shapes[2] == (*(shapes[3] or ()), *(shapes[0] or ()))
    ):
        reason = "holds no image (H, W), truth and found (K, H, W) and structures (K,)"
        raise DataError(reason, file=row.artefact, remedy="Measure again.")
    every = -(-max(arrays["image"].shape) // LONGEST)
    return {name: some if name == "structures" else some[..., ::every, ::every] for name, some in arrays.items()}


def _tinted(arrays: Arrays, which: str, colours: Mapping[str, str]) -> Array:
    """(H, W, 3): masks one after the other over the image."""
    from matplotlib.colors import to_rgb

    image = np.repeat(arrays["image"].astype(np.float64)[..., None], 3, axis=-1)
    for name, mask in zip(arrays["structures"], arrays[which].astype(bool), strict=True):
        image[mask] += TINT * (255 * np.array(to_rgb(colours[str(name)])) - image[mask])
    return image


def _outlined(image: Array, arrays: Arrays) -> Array:
    """White where a true mask ends, and dark just outside, so that it is seen on bright bodies as well."""
    image = image.copy()
    for mask in arrays["truth"].astype(bool):
        wide = np.pad(mask, 1, mode="edge")
        near = np.stack([wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]])
        image[~mask & near.any(0)] *= 0.4
        image[mask & ~near.all(0)] = 255
    return image


def _photo(image: Array, alt: str, caption: str) -> Picture:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.asarray(image).round().astype(np.uint8)).save(out, format="jpeg", quality=QUALITY, optimize=True)
    return Picture(out.getvalue(), alt, caption, "image/jpeg", photo=True)
