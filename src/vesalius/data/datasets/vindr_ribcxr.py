"""VinDr-RibCXR: 245 frontal chest radiographs of VinDr-CXR with 20 ribs outlined, ten on either side.

Nguyen et al., MIDL 2021. `data/train/img/VinDr_RibCXR_train_000.png` (196 images) and `data/val/img/...` (49, on which
the paper reports: here `test`), `Vindr_RibCXR_train_mask.json` and `Vindr_RibCXR_val_mask.json`: "img" -> index ->
path, and "R1" to "R10", "L1" to "L10" -> index -> one polygon as a list of {"x", "y"} in pixels, or the text "None" for a
rib that is absent from the image. Ribs cross: masks overlap. Images and tables are found in any folder below root.

Licence: a data use agreement, research only. No patients are named, nor the image of VinDr-CXR that each one is.
Could not be checked against the original: whether "None" may also stand for a rib that was not drawn.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.data.annotations import fill, read_json
from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.scan import Array, Labels
from vesalius.data.walk import by_stem, image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="vindr_ribcxr",
    title="VinDr-RibCXR",
    modality="radiograph",
    ndim=2,
    images=245,
    patients=0,
    licence="data use agreement of VinBigData; research only, not for redistribution",
    cite="Nguyen et al., VinDr-RibCXR, MIDL 2021",
)
RIBS = tuple(f"{side}{number}" for side in "RL" for number in range(1, 11))
TABLES = {"train": "*RibCXR_train_mask.json", "test": "*RibCXR_val_mask.json"}


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix (`VinDr_RibCXR_train_000`).

    partial: images of the tables that are absent are left out, instead of an error.
    """

    root: Path
    partial: bool = False

    @cached_property
    def _tables(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        """Split -> its file and what is in it, of the tables that are here."""
        found = {split: sorted(self.root.rglob(name))[:1] for split, name in TABLES.items()}
        if not any(found.values()):
            raise DataError(f"no {TABLES['train']}", file=self.root, remedy="It is part of the download.")
        return {split: (path, _table(path)) for split, paths in found.items() for path in paths}

    @cached_property
    def _places(self) -> dict[str, tuple[str, str]]:
        """Id -> split and index in its table, whether the image is present or not."""
        return {
            stem(str(image)): (split, index)
            for split, (_, table) in self._tables.items()
            for index, image in table["img"].items()
        }

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, for images that are present."""
        places, here = self._places, by_stem(image_files(self.root))
        for split, (path, _) in self._tables.items():
            if not self.partial:
                present((name for name in places if places[name][0] == split), here, path)
        files = {name: here[name][0] for name in places if name in here}
        if not files:
            raise DataError("none of the images in the tables is here", file=self.root, remedy="Unpack the images.")
        return files

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent or unknown."""
        absent = len(self._places) - len(self.files)
        return (
            "Patients are not named: every image counts as a patient of its own. All are images of VinDr-CXR.",
            *(f"No {name}: its images are left out." for split, name in TABLES.items() if split not in self._tables),
            *([f"{absent:,} images of the tables are absent (a partial download)."] if absent else []),
        )

    def patient(self, id: str, /) -> str:
        """Not named: the image's own id."""
        self.path(id)
        return id

    def labels(self, id: str, /) -> Labels:
        """Mask of the ribs, (20, H, W). An absent rib is known and empty; one that the table leaves out is unknown."""
        shape = self.read(id).shape
        split, index = self._places[id]
        path, table = self._tables[split]
        drawn = [table.get(rib, {}).get(index) for rib in RIBS]
        mask = np.stack(
            [_mask(polygon, shape, f"{rib} of {id}", path) for rib, polygon in zip(RIBS, drawn, strict=True)]
        )
        return Labels(structures=RIBS, mask=mask, known=np.array([polygon is not None for polygon in drawn]))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train and test (the files call it val), images that are present."""
        return {split: tuple(id for id in self.ids if self._places[id][0] == split) for split in self._tables}


def _table(path: Path) -> dict[str, Any]:
    table = read_json(path)
    if not isinstance(table, dict) or not all(isinstance(table.get(key, {}), dict) for key in RIBS):
        raise DataError("does not hold a table a rib", file=path, remedy="Download it again.")
    if not isinstance(table.get("img"), dict):
        raise DataError("names no images under 'img'", file=path, remedy="Download it again.")
    return table


def _mask(polygon: Any, shape: tuple[int, ...], what: str, path: Path) -> Array:
    """(H, W) bool; empty for "None" and for null. DataError: not a list of x and y."""
    try:
        corners = [] if polygon in (None, "None") else [(float(point["x"]), float(point["y"])) for point in polygon]
        return fill([corners], shape)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{what} is not a polygon", file=path, remedy="Download it again.") from None
