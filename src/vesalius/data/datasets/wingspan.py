"""Wingspan: 259 frontal chest radiographs, 512 x 512, one a patient, with masks of lungs and heart.

Dong et al., 2020 (MIT). `images/wingspan_001.jpg`; `masks/wingspan_001.png` with bit 0 left lung, bit 1 right lung, bit
2 heart, which may overlap (two ways of contouring); `ctr.csv` with the cardiothoracic ratio, blank where unknown;
`landmarks_512px.csv` with extreme points computed from the masks (x, y): noisy, not manual.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.masks import read_bits
from vesalius.data.scan import Array, Labels
from vesalius.data.tables import Row, locate, near, read_list, read_table
from vesalius.data.walk import by_stem, image_files
from vesalius.errors import DataError

FACTS = Facts(
    name="wingspan",
    title="Wingspan chest radiographs",
    modality="radiograph",
    ndim=2,
    images=259,
    patients=259,
    licence="MIT",
    cite="Dong et al., Unsupervised domain adaptation for automatic estimation of cardiothoracic ratio, 2020",
)
STRUCTURES = ("left lung", "right lung", "heart")  # bits 0, 1, 2 of a mask
# Lateral points fall a few pixels from the costophrenic ones, and the heart's left and right are ill-defined.
LANDMARKS = (
    "RL_apex", "LL_apex", "RL_costophrenic", "LL_costophrenic",
    "RL_cardiophrenic", "LL_cardiophrenic", "H_top", "H_bottom",
)  # fmt: skip


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix (`wingspan_001`).

    test_list: text file of the ids held out, one a line; absolute, below root, or from the current folder.
    """

    root: Path
    test_list: Path | None = None

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        return {name: f"images/{files[0]}" for name, files in by_stem(image_files(self.root / "images")).items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent."""
        missing = sum(not self._mask_path(id).exists() for id in self.ids)
        unmeasured = sum(id not in self._landmarks for id in self.ids)
        counts = {"images have no mask": missing, "images have no landmarks": unmeasured}
        return tuple(f"{n:,} {what}." for what, n in counts.items() if n)

    def patient(self, id: str, /) -> str:
        """One image a patient: its own id."""
        self.path(id)
        return id

    def ctr(self, id: str, /) -> float:
        """Cardiothoracic ratio, heart's width over chest's; NaN where unknown."""
        self.path(id)
        return float(self._ctr.get(id) or "nan")

    def labels(self, id: str, /) -> Labels:
        """Masks of lungs and heart, (3, H, W), and eight landmarks (row, column) in pixels."""
        self.path(id)
        path = self._mask_path(id)
        mask = read_bits(path, self.read(id).shape, len(STRUCTURES)) if path.exists() else None
        known = None if mask is None else np.ones(len(STRUCTURES), bool)
        row = self._landmarks.get(id, {})
        points = {name: point for name in LANDMARKS if (point := _point(row, name)) is not None}
        return Labels(structures=STRUCTURES if mask is not None else (), mask=mask, known=known, landmarks=points)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Train and test where `test_list` is given; the data set comes without a split of its own."""
        if self.test_list is None:
            return {}
        path = locate(self.root, self.test_list)
        test = set(read_list(path))
        if unknown := sorted(test - set(self.ids)):
            raise DataError(
                f"lists {unknown[0]!r}, which is not here", file=path, remedy=near(unknown[0], self.ids, "Ids")
            )
        return {"train": tuple(id for id in self.ids if id not in test), "test": tuple(sorted(test))}

    def _mask_path(self, id: str) -> Path:
        return self.root / "masks" / f"{id}.png"

    @cached_property
    def _ctr(self) -> dict[str, str]:
        rows = read_table(self.root / "ctr.csv", ("image", "ctr_ground_truth"))
        return {row["image"]: row["ctr_ground_truth"] for row in rows}

    @cached_property
    def _landmarks(self) -> dict[str, Row]:
        return {row["image"]: row for row in read_table(self.root / "landmarks_512px.csv", ("image",))}


def _point(row: Row, name: str) -> Array | None:
    """(row, column) from the columns NAME_y and NAME_x; None where blank."""
    y, x = row.get(f"{name}_y", ""), row.get(f"{name}_x", "")
    return np.array((float(y), float(x))) if x and y else None
