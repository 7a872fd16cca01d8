"""ChestX-Det: 3,578 images of ChestX-ray14 with boxes and outlines of 13 findings, by three radiologists.

Lian et al., IEEE TMI 2021. `train/NUMBER.png` (3,025), `test/NUMBER.png` (553), 1024 x 1024; `ChestX_Det_train.json` and
`ChestX_Det_test.json`: a list of {"file_name", "syms": [finding, ...], "boxes": [[x1, y1, x2, y2], ...], "polygons":
[[[x, y], ...], ...]}, one entry a finding in each, none for an image without findings. Findings overlap.

The Adam paper segments one mask, `disease`, that is any of the 13 (`merge=true`). The names do not say which image of
ChestX-ray14 each is, so no patients are known, and an encoder pretrained on ChestX-ray14 has seen these images.
Could not be checked against the original: the names of the images' folders (images are found in any below root), and
whether one person's images are in both parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.data.annotations import fill, read_json
from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.scan import Array, Labels
from vesalius.data.tables import near
from vesalius.data.walk import by_stem, image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="chestx_det",
    title="ChestX-Det",
    modality="radiograph",
    ndim=2,
    images=3_578,
    patients=0,
    licence="none stated with the annotations; images as ChestX-ray14 (NIH Clinical Center)",
    cite="Lian et al., A structure-aware relation network for thoracic diseases, IEEE TMI 2021",
)
FINDINGS = (
    "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "Diffuse Nodule", "Effusion", "Emphysema",
    "Fibrosis", "Fracture", "Mass", "Nodule", "Pleural Thickening", "Pneumothorax",
)  # fmt: skip
MERGED = "disease"
TABLES = {"train": "ChestX_Det_train.json", "test": "ChestX_Det_test.json"}
Lesion = tuple[str, Array, list[tuple[float, float]]]


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix, numbers.

    merge: one class and one mask, `disease`, in place of the 13. partial: images of the tables that are absent are left
    out, instead of an error.
    """

    root: Path
    merge: bool = False
    partial: bool = False

    @cached_property
    def _entries(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Id -> split and entry, whether the image is present or not. DataError: an image in both parts."""
        entries: dict[str, tuple[str, dict[str, Any]]] = {}
        for split, name in TABLES.items():
            for id, entry in _by_id(self.root / name) if (self.root / name).exists() else ():
                if entries.setdefault(id, (split, entry))[1] is not entry:
                    raise DataError(f"names {id} a second time", file=self.root / name, remedy="Download it again.")
        if not entries:
            raise DataError("lists no image", file=self.root / TABLES["train"], remedy="It lies beside the images.")
        return entries

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, for images that are present."""
        entries, here = self._entries, by_stem(image_files(self.root))
        for split in () if self.partial else dict.fromkeys(split for split, _ in entries.values()):
            present((name for name in entries if entries[name][0] == split), here, self.root / TABLES[split])
        files = {name: here[name][0] for name in entries if name in here}
        if not files:
            raise DataError("none of the images in the tables is here", file=self.root, remedy="Unpack the images.")
        return files

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent or unknown."""
        absent = len(self._entries) - len(self.files)
        return (
            "Patients are not named: every image counts as a patient of its own. All are images of ChestX-ray14.",
            *(f"No {name}: its images are left out." for name in TABLES.values() if not (self.root / name).exists()),
            *([f"{absent:,} images of the tables are absent (a partial download)."] if absent else []),
        )

    def patient(self, id: str, /) -> str:
        """Not named: the image's own id."""
        self.path(id)
        return id

    def labels(self, id: str, /) -> Labels:
        """Findings as 1 or 0, their masks (13, H, W), or with `merge` (1, H, W), and boxes (top, left, bottom, right)."""
        shape = self.read(id).shape
        split, entry = self._entries[id]
        found = list(_lesions(id, entry, self.root / TABLES[split]))
        names = (MERGED,) if self.merge else FINDINGS
        lesions = [(MERGED if self.merge else name, box, polygon) for name, box, polygon in found]
        mask = np.stack([fill([polygon for name, _, polygon in lesions if name == wanted], shape) for wanted in names])
        present = [name for name, _, _ in lesions]
        return Labels(
            classes={name: float(name in present) for name in names},
            structures=names,
            mask=mask,
            known=np.ones(len(names), bool),
            boxes={name: np.stack([box for n, box, _ in lesions if n == name]) for name in dict.fromkeys(present)},
        )

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train and test, images that are present; a part without a table is left out."""
        parts = dict.fromkeys(split for split, _ in self._entries.values())
        return {split: tuple(id for id in self.ids if self._entries[id][0] == split) for split in parts}


def _by_id(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and entry of every image in a table. DataError: not a list of entries that name a file."""
    table = read_json(path)
    if not isinstance(table, list) or not all(isinstance(entry, dict) and "file_name" in entry for entry in table):
        raise DataError("is not a list of entries with a file_name", file=path, remedy="Download it again.")
    yield from ((stem(str(entry["file_name"])), entry) for entry in table)


def _lesions(id: str, entry: dict[str, Any], path: Path) -> Iterator[Lesion]:
    """Finding, box (4,) as (top, left, bottom, right), and polygon of (x, y), one after the other. DataError."""
    try:
        for name, box, polygon in zip(entry["syms"], entry["boxes"], entry["polygons"], strict=True):
            if name not in FINDINGS:
                raise DataError(
                    f"unknown finding {name!r} of {id}", file=path, remedy=near(str(name), FINDINGS, "Known")
                )
            left, top, right, bottom = map(float, box)
            yield name, np.array((top, left, bottom, right)), [(float(x), float(y)) for x, y in polygon]
    except (KeyError, TypeError, ValueError):
        reason = f"findings, boxes and polygons of {id} do not belong together"
        raise DataError(reason, file=path, remedy="Download it again.") from None
