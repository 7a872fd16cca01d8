"""VinDr-CXR: 18,000 frontal chest radiographs of two hospitals in Hanoi, 22 local and 6 global findings by radiologists.

Nguyen et al., Scientific Data 2022; PhysioNet 1.0.0. `train/ID.dicom` (15,000), `test/ID.dicom` (3,000), and in
`annotations/`: `image_labels_train.csv` (image_id, rad_id, 28 findings as 0 or 1; three readers an image, so 45,000
rows), `image_labels_test.csv` (one row an image: the consensus of five readers), `annotations_train.csv` and
`annotations_test.csv` (image_id, rad_id in training, class_name, x_min, y_min, x_max, y_max in pixels; blank for "No
finding"). The training table says "Other diseases" where the one of the test says "Other disease". "COPD" has two
positives among the test images: Adam's group replaces it by pleural effusion (`task=benchmark`). No patients are named.

Could not be checked against the original: whether two images may be of one person, and the order of the columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.scan import Array, Labels
from vesalius.data.tables import Row, near, read_table
from vesalius.data.walk import by_stem, image_files
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="vindr_cxr",
    title="VinDr-CXR",
    modality="radiograph",
    ndim=2,
    images=18_000,
    patients=0,
    licence="PhysioNet Credentialed Health Data License; not for redistribution",
    cite="Nguyen et al., VinDr-CXR, Scientific Data 9:429, 2022",
)
LOCAL = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion",
)  # fmt: skip
OTHER = "Other diseases"
GLOBAL = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", OTHER, "No finding")
TASKS = {"all": LOCAL + GLOBAL, "local": LOCAL, "global": GLOBAL, "benchmark": ("Pleural effusion", *GLOBAL[1:])}
CONSENSUS: dict[str, Callable[[float], bool]] = {  # share of the readers who said yes -> label
    "majority": lambda share: share > 0.5,
    "any": lambda share: share > 0,
    "all": lambda share: share == 1,
}
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the names of the files without suffix, in either folder: they may have been encoded anew.

    consensus: how a training image's readers become one label: `majority` (more than half), `any` or `all` of them.
    They are counted finding by finding, so that under `any` "No finding" may stand beside a finding.
    task: which findings: `all` 28, `local` 22, `global` 6, or `benchmark`. partial: images of the tables
    that are absent are left out, instead of an error.
    """

    root: Path
    consensus: str = "majority"
    task: str = "all"
    partial: bool = False

    def __post_init__(self) -> None:
        if self.consensus not in CONSENSUS:
            raise SettingError(f"consensus {self.consensus!r}", remedy=near(self.consensus, [*CONSENSUS], "Choices"))
        if self.task not in TASKS:
            raise SettingError(f"task {self.task!r}", remedy=near(self.task, [*TASKS], "Tasks"))

    @cached_property
    def _readers(self) -> dict[str, dict[str, list[Row]]]:
        """Split -> image -> one row a reader, of the tables that are here, whether the image is present or not."""
        paths = {split: self._table("image_labels", split) for split in SPLITS}
        tables = {split: _by_image(path) for split, path in paths.items() if path.exists()}
        if not tables:
            raise DataError("is not there", file=paths["train"], remedy="It is part of the download.")
        return tables

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, for images that a table names and that are present."""
        here = by_stem(image_files(self.root))
        for split, table in self._readers.items():
            if not self.partial:
                present(table, here, self._table("image_labels", split))
        files = {name: here[name][0] for table in self._readers.values() for name in table if name in here}
        if not files:
            raise DataError(
                "none of the images in the tables is here", file=self.root, remedy="Fetch train/ and test/."
            )
        return files

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent or unknown."""
        absent = sum(len(table) for table in self._readers.values()) - len(self.files)
        tables = (self._table(kind, split) for kind in ("image_labels", "annotations") for split in SPLITS)
        return (
            "Patients are not named: every image counts as a patient of its own.",
            *(f"No annotations/{path.name}: what it says is unknown." for path in tables if not path.exists()),
            *([f"{absent:,} images of the tables are absent (a partial download)."] if absent else []),
        )

    def patient(self, id: str, /) -> str:
        """Not named: the image's own id."""
        self.path(id)
        return id

    def labels(self, id: str, /) -> Labels:
        """Findings of the task as 1 or 0, NaN where no reader said; boxes (top, left, bottom, right) in pixels.

        Boxes are those of every reader, for findings that the consensus holds to be there.
        """
        self.path(id)
        split = self._split(id)
        classes = {name: self._agreed(split, id, name) for name in TASKS[self.task]}
        found = self._boxes.get(id, {})
        return Labels(classes, boxes={name: np.array(found[name]) for name in found if classes.get(name) == 1})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train and test, images that are present; a part without a table is left out."""
        return {split: tuple(id for id in self.ids if id in table) for split, table in self._readers.items()}

    def _split(self, id: str) -> str:
        return next(split for split, table in self._readers.items() if id in table)

    def _table(self, kind: str, split: str) -> Path:
        return self.root / "annotations" / f"{kind}_{split}.csv"

    def _agreed(self, split: str, id: str, name: str) -> float:
        """1 or 0 by the policy, over readers who said something; NaN where none did."""
        said = [row[name] for row in self._readers[split][id] if row[name]]
        try:
            votes = [float(text) for text in said]
        except ValueError:
            votes = [float("nan")]
        if not set(votes) <= {0.0, 1.0}:
            file, reason = self._table("image_labels", split), f"{name} of {id} is {' and '.join(said)}"
            raise DataError(reason, file=file, remedy="Findings are 0 or 1.")
        return float(CONSENSUS[self.consensus](sum(votes) / len(votes))) if votes else float("nan")

    @cached_property
    def _boxes(self) -> dict[str, dict[str, list[Array]]]:
        """Image -> finding -> boxes, of the tables that are here."""
        boxes: dict[str, dict[str, list[Array]]] = {}
        for path in (self._table("annotations", split) for split in SPLITS):
            for row in read_table(path, ("image_id", "class_name", *CORNERS)) if path.exists() else []:
                if row["class_name"] != "No finding":
                    boxes.setdefault(row["image_id"], {}).setdefault(row["class_name"], []).append(_box(row, path))
        return boxes


CORNERS = ("y_min", "x_min", "y_max", "x_max")


def _box(row: Row, path: Path) -> Array:
    """(4,) top, left, bottom, right. DataError: an unknown finding, a corner that is no number."""
    name = row["class_name"]
    if name not in LOCAL:
        raise DataError(f"unknown finding {name!r}", file=path, remedy=near(name, LOCAL, "Findings"))
    try:
        return np.array([float(row[corner]) for corner in CORNERS])
    except ValueError:
        reason = f"a box of {row['image_id']} is not four numbers"
        raise DataError(reason, file=path, remedy="Download it again.") from None


def _by_image(path: Path) -> dict[str, list[Row]]:
    """Image -> one row a reader, with one spelling of "Other diseases". DataError: a finding has no column."""
    readers: dict[str, list[Row]] = {}
    for row in read_table(path, ("image_id", *(name for name in LOCAL + GLOBAL if name != OTHER))):
        if OTHER not in row and "Other disease" not in row:
            raise DataError(f"has no column {OTHER!r}", file=path, remedy=near(OTHER, list(row), "Columns"))
        row.setdefault(OTHER, row.get("Other disease", ""))
        readers.setdefault(row["image_id"], []).append(row)
    return readers
