"""ChestX-ray14 (NIH Clinical Center): 112,120 frontal chest radiographs of 30,805 patients, 14 findings from reports.

Wang et al., CVPR 2017. Images `images/00000001_000.png` or `images_001/images/...`, 1024 x 1024, a few of them RGBA;
`Data_Entry_2017*.csv`; official split by patient in `train_val_list.txt` (86,524) and `test_list.txt` (25,596); expert
boxes in `BBox_List_2017.csv` (984 boxes). No restriction on use; the NIH asks to be cited.

Adam's group divides train_val into 75,312 for training and 11,212 for validation; its lists (name of image, then 14
times 0 or 1) are not part of the download: give them as `train_list` and `val_list`.

PCRLv2 has another train list (78,468 images): its first `ratio` is for pretraining, and the rest for fine-tuning; its list
for the test is the one it validates with (11,219). 17,920 of the 25,596 official test images are in its train list, so its
encoders have seen Adam's test: the two never mix. It is a list of images: patients are in pretrain and in
train; one in train and test is an error of `evaluate`. Lists without `ratio` that hold an official test image are refused, as
they are where test_list.txt, which would tell, is not here; with `ratio` the notes count them. Pretraining takes
`ratio` with `only=pretrain` alone. `evaluate` finds patients of the test in the pretraining.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.scan import Labels, Scan
from vesalius.data.splits import exclude
from vesalius.data.tables import Row, locate, near, read_cells, read_list, read_table
from vesalius.data.walk import by_stem, image_files, stem
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="chestxray14",
    title="ChestX-ray14",
    modality="radiograph",
    ndim=2,
    images=112_120,
    patients=30_805,
    licence="no restriction on use (NIH Clinical Center); cite the paper",
    cite="Wang et al., ChestX-ray8, CVPR 2017",
)
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
    "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
ANY = "any finding"
SIDE = 1024  # pixels of the published images, in which the boxes are given
# The header's "OriginalImage[Width,Height]" is split by its own comma, and so is the spacing's.
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
ORIGINAL = ("Height]", "OriginalImage[Width", "y]", "OriginalImagePixelSpacing[x")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the names in the table (`00000001_000.png`). A partial download works: notes say what is absent.

    table, boxes: names (or patterns) of the CSV files below root. task: 14 `findings`, or `any`: one class, any of them.
    train_list, val_list: text files, one image a line (what follows its name is not read), in place of train_val.
    test_patients: a text file, one patient a line, who are the test in place of the official one.
    ratio: PCRLv2's protocol, above 0: pretrain is the first so many of train_list (rounded down), train the rest (none of
    1, where the split is absent), and test is val_list.
    """

    root: Path
    table: str = "Data_Entry_2017*.csv"
    boxes: str = "BBox_List_2017*.csv"
    task: str = "findings"
    train_list: Path | None = None
    val_list: Path | None = None
    test_patients: Path | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise SettingError(f"task {self.task!r}", remedy=near(self.task, TASKS, "Tasks"))
        if self.test_patients and (self.train_list or self.val_list):
            raise SettingError("test_patients and lists both say what the split is", remedy="Give one of them.")
        if self.ratio is not None and not (0 < self.ratio <= 1 and self.train_list and self.val_list):
            reason = f"ratio={self.ratio} divides train_list, and val_list is its test"
            raise SettingError(reason, remedy="Give both lists, and a ratio above 0 and up to 1, such as 0.95.")

    @property
    def protocol(self) -> str:
        """What rows call the split where it is not the official one: their test is another."""
        return "" if self.ratio is None else f"ratio {self.ratio:g}"

    @cached_property
    def _rows(self) -> dict[str, Row]:
        """Name of image -> its row, whether the image is present or not."""
        found = sorted(self.root.glob(self.table))
        if not found:
            raise DataError(f"no {self.table}", file=self.root, remedy="It lies beside the images in the download.")
        return {row["Image Index"]: row for row in read_table(found[-1], COLUMNS)}

    @cached_property
    def _present(self) -> dict[str, list[str]]:
        """Stem -> files, of all images below root: some have been encoded anew with another suffix."""
        return by_stem(image_files(self.root))

    @cached_property
    def files(self) -> dict[str, str]:
        """Name in the table -> path below root, for images that are present."""
        files = {name: self._present[stem(name)][0] for name in self._rows if stem(name) in self._present}
        if not files:
            raise DataError("none of the images in the table is here", file=self.root, remedy="Unpack images_*.tar.gz.")
        return files

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent, unknown or there twice."""
        used = {stem(name) for name in self.files}
        counts = {
            "images of the table are absent (a partial download)": len(self._rows) - len(self.files),
            "files are not in the table and are left out": sum(name not in used for name in self._present),
            "images lie in several folders; the first is used": sum(len(self._present[name]) > 1 for name in used),
        }
        lists = [
            f"No {name}: there is no official split." for name in LISTS.values() if not (self.root / name).exists()
        ]
        mixed, own = self._mixed(), []
        if mixed is None:
            own.append(f"Which official test images are in train_list cannot be told without {LISTS['test']}.")
        if self.ratio == 1:
            own.append("With ratio=1 all of train_list is for pretraining: nothing is left to fine-tune on (no train).")
        counts["official test images are in train_list: never test on them what it has trained"] = len(mixed or ())
        return (*(f"{n:,} {what}." for what, n in counts.items() if n), *lists, *own)

    def patient(self, id: str, /) -> str:
        """Column Patient ID."""
        self.path(id)
        return self._rows[id]["Patient ID"]

    def meta(self, id: str, /) -> dict[str, str]:
        """View (PA or AP), sex and the decade of age; ages above 100 are slips of the table and left out."""
        row = self._rows[id]
        age = re.match(r"\d+", row.get("Patient Age", ""))
        decade = int(age.group()) // 10 * 10 if age and int(age.group()) <= 100 else None
        band = "" if decade is None else f"{decade}-{decade + 9}"
        known = {"view": row.get("View Position", ""), "sex": row.get("Patient Gender", ""), "age_band": band}
        return {key: text for key, text in known.items() if text}

    def read(self, id: str, /) -> Scan:
        """As stored, with the spacing in mm that follows from the original's size and spacing."""
        scan = super().read(id)
        return _spaced(scan, self._rows[id])

    def labels(self, id: str, /) -> Labels:
        """Findings of the task as 1 or 0; expert boxes (row, column) in pixels of the file where there are any."""
        self.path(id)
        found = set(self._rows[id]["Finding Labels"].split("|")) - {"No Finding", ""}
        if unknown := found - set(FINDINGS):
            raise DataError(f"unknown finding {sorted(unknown)[0]!r} of {id}", file=self.root, remedy="See its table.")
        names = {name: {name} for name in FINDINGS} if self.task == "findings" else {ANY: found}
        return Labels({name: float(bool(which & found)) for name, which in names.items()}, boxes=self._boxes_of(id))

    def _boxes_of(self, id: str) -> dict[str, np.ndarray]:
        listed = self._boxes.get(stem(id), {})
        if not listed:
            return {}
        shape = self.read(id).shape
        scale = np.tile(np.asarray(shape) / SIDE, 2)
        return {name: np.asarray(boxes) * scale for name, boxes in listed.items()}

    @cached_property
    def _boxes(self) -> dict[str, dict[str, list[tuple[float, ...]]]]:
        """Stem -> finding -> (top, left, bottom, right) in pixels of the published image. Columns go by position."""
        boxes: dict[str, dict[str, list[tuple[float, ...]]]] = {}
        for path in sorted(self.root.glob(self.boxes))[-1:]:
            for name, finding, *numbers in read_cells(path)[1]:
                x, y, width, height = map(float, numbers[:4])
                finding = {"Infiltrate": "Infiltration"}.get(finding, finding)
                boxes.setdefault(stem(name), {}).setdefault(finding, []).append((y, x, y + height, x + width))
        return boxes

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official, or as the options say; images that are present. {} unless both official lists are here.

        train_val and test; train, val and test where lists are given, with ratio pretrain, train (unless it is 1) and test;
        train and test where patients are. DataError: lists without ratio that hold official test images, or may hold them.
        """
        if self.test_patients:
            train = exclude(self.ids, self.patient, locate(self.root, self.test_patients))
            return {"train": train, "test": tuple(sorted(set(self.ids) - set(train)))}
        if self.ratio is not None and self.train_list and self.val_list:
            names = self._names(locate(self.root, self.train_list))
            cut = int(self.ratio * len(names))
            parts = {"pretrain": names[:cut], "train": names[cut:]} if names[cut:] else {"pretrain": names}
            found = {split: self._present_of(part) for split, part in parts.items()}
            return {**found, "test": self._listed(locate(self.root, self.val_list))}
        if self.train_list or self.val_list:
            self._refuse_mixed()
            own = {"train": self.train_list, "val": self.val_list, "test": Path(LISTS["test"])}
            return {split: self._listed(locate(self.root, path)) for split, path in own.items() if path}
        official = {split: self.root / name for split, name in LISTS.items()}
        if not all(path.exists() for path in official.values()):
            return {}
        return {split: self._listed(path) for split, path in official.items()}

    def _refuse_mixed(self) -> None:
        """DataError: the lists hold official test images, or nothing tells whether they do."""
        mixed = self._mixed()
        remedy = "Lists of PCRLv2 need ?ratio=: its encoders are never tested on the official test."
        if mixed is None:
            reason = f"whether its lists hold official test images cannot be checked without {LISTS['test']}"
            raise DataError(reason, file=self.root, remedy=f"Put that of the download here. {remedy}")
        if mixed:
            reason = f"{len(mixed):,} images of its lists are in {LISTS['test']}, such as {min(mixed)}"
            raise DataError(reason, file=self.root, remedy=remedy)

    def _mixed(self) -> set[str] | None:
        """Images of the lists for training that are in the official test; None where that is not here."""
        lists = [path for path in (self.train_list, None if self.ratio else self.val_list) if path]
        test = self.root / LISTS["test"]
        if not lists:
            return set()
        if not test.exists():
            return None
        return set(self._names(test)) & {name for path in lists for name in self._names(locate(self.root, path))}

    def _names(self, path: Path) -> list[str]:
        """Images of a list, in its order. DataError: it names one that is in no row of the table."""
        names = [line.split()[0] for line in read_list(path)]
        if unknown := sorted(set(names) - set(self._rows)):
            remedy = near(unknown[0], list(self._rows), "Images")
            raise DataError(f"lists {unknown[0]!r}, which is not in the table", file=path, remedy=remedy)
        return names

    def _listed(self, path: Path) -> tuple[str, ...]:
        """Images of a list that are present. DataError as `_names`."""
        return self._present_of(self._names(path))

    def _present_of(self, names: Sequence[str]) -> tuple[str, ...]:
        listed = set(names)
        return tuple(id for id in self.ids if id in listed)


TASKS = ("findings", "any")
LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}


def _spaced(scan: Scan, row: Row) -> Scan:
    """Spacing (row, column) in mm: the original was squeezed from its own width and height into the file's."""
    try:
        height, width, y, x = (float(row[name]) for name in ORIGINAL)
    except (KeyError, ValueError):
        return scan
    return replace(scan, spacing=(y * height / scan.shape[0], x * width / scan.shape[1]))
