"""Kermany: 5,856 paediatric chest radiographs (AP, one to five years, Guangzhou), normal or with pneumonia.

Kermany et al., Cell 2018 (CC BY 4.0). Layout `chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/`; 5,232 train and 624
test as published, of which a wide-spread copy moves 16 of train to val. Or the same folders with `labels.csv` (file,
split, label). Patients are in the names: `person3_bacteria_10` and `BACTERIA-40699-0001` are person 3 and 40699,
`IM-0115-0001` and `NORMAL2-IM-0486-0001` are IM-0115 and NORMAL2-IM-0486.

Numbers of bacteria and of virus count apart (names ascend in each), so person3_bacteria and person3_virus are taken for
two children; were they one, the official split would not be one by patient, and `notes` counts them. Could not be
checked against the original: the number of patients, and that no child bears two names. Labels are of whole images.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.scan import Labels
from vesalius.data.tables import Row, read_table
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="kermany",
    title="Kermany paediatric pneumonia",
    modality="radiograph",
    ndim=2,
    images=5_856,
    patients=0,
    licence="CC BY 4.0",
    cite="Kermany et al., Identifying medical diagnoses and treatable diseases by image-based deep learning, Cell 2018",
)
SPLITS = ("train", "val", "test")
CLASSES = {"NORMAL": 0.0, "PNEUMONIA": 1.0}
PATIENT = re.compile(r"(person\d+_(?:bacteria|virus)|(?:NORMAL2-)?IM-\d+|(?:NORMAL|BACTERIA|VIRUS)-\d+)[-_]")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are split, folder and name (`train/NORMAL/IM-0115-0001`).

    table: CSV below root with file, split, label; where it is not there, the folders say so. partial: rows whose image
    is absent are left out, instead of an error.
    """

    root: Path
    table: Path = Path("labels.csv")
    partial: bool = False

    @cached_property
    def _rows(self) -> dict[str, Row]:
        """Id -> file, split and label, from the table or from the folders."""
        path = self.root / self.table
        rows = read_table(path, ("file", "split", "label")) if path.is_file() else self._by_folder()
        for row in rows:
            for column, allowed in (("split", SPLITS), ("label", tuple(CLASSES))):
                if row.get(column) not in allowed:
                    reason, remedy = f"{column} {row.get(column)!r} of {row['file']}", f"It is {' or '.join(allowed)}."
                    raise DataError(reason, file=path, remedy=remedy)
        if not path.is_file():
            return {_id(row["file"]): row for row in rows}
        files = present((row["file"] for row in rows), set(image_files(self.root)), path, self.partial)
        by_file = {row["file"]: row for row in rows}
        return {_id(file): by_file[file] for file in files}

    def _by_folder(self) -> list[Row]:
        rows = []
        for file in image_files(self.root):
            *_, split, label, _ = ("", "", *PurePosixPath(file).parts)
            if split in SPLITS and label in CLASSES:
                rows.append({"file": file, "split": split, "label": label})
        if not rows:
            raise DataError("no train/NORMAL/ or the like", file=self.root, remedy="Give the folder of train and test.")
        return rows

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        _ = self._patients  # a name that tells no patient is an error from the start
        return {id: row["file"] for id, row in self._rows.items()}

    @cached_property
    def _patients(self) -> dict[str, str]:
        patients = {}
        for id, row in self._rows.items():
            if (match := PATIENT.match(stem(row["file"]))) is None:
                remedy = "Names are such as person3_bacteria_10 or IM-0115-0001: give it its own again."
                raise DataError("its name tells no patient", file=self.root / row["file"], remedy=remedy)
            patients[id] = match[1]
        return patients

    @property
    def notes(self) -> tuple[str, ...]:
        """How many numbers stand for two children."""
        splits = defaultdict(set)
        for id, patient in self._patients.items():
            splits[patient.partition("_")[0]].add((patient, self._rows[id]["split"]))
        twice = sum(len({split for _, split in found}) > 1 for found in splits.values())
        text = "person numbers are in two splits, under bacteria and virus: taken for different children."
        return (f"{twice:,} {text}",) if twice else ()

    def patient(self, id: str, /) -> str:
        """Number and agent, or number, as in the name."""
        self.path(id)
        return self._patients[id]

    def labels(self, id: str, /) -> Labels:
        """Pneumonia, 1 or 0."""
        self.path(id)
        return Labels({"pneumonia": CLASSES[self._rows[id]["label"]]})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, val where there is one, test."""
        parts = {split: tuple(id for id in self.ids if self._rows[id]["split"] == split) for split in SPLITS}
        return {split: ids for split, ids in parts.items() if ids}


def _id(file: str) -> str:
    """The last two folders and the name without suffix: the same wherever the folders were unpacked."""
    return "/".join((*PurePosixPath(file).parts[-3:-1], stem(file)))
