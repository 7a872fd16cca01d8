"""Your own images and labels: a folder, and a CSV file with one image a line.

Columns: image (path below the folder), patient, split (if there is one), then classes and masks. A class is 1, 0 or
blank, which is not labelled. A mask column (`mask`, or `mask_heart` for the structure heart) names a picture of the
image's size, below the folder; blank is not contoured, which is never the same as absent. A mask holds 0 and one other
value; with `structures=heart,lung` a single mask column holds 1 for heart, 2 for lung.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.datasets.folder import IMAGE, PATIENT
from vesalius.data.listed import present
from vesalius.data.masks import mask_labels, read_label_map, read_mask
from vesalius.data.scan import Array, Labels
from vesalius.data.tables import Row, column, locate, near, read_cells, read_table
from vesalius.data.walk import image_files
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="manifest",
    title="images with labels of your own",
    modality="unknown",
    ndim=2,
    images=0,
    patients=0,
    licence="that of the images",
    cite="",
)
SPLIT = ("split", "subset", "set")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the images as the table writes them.

    table: CSV, absolute, below root or from the current folder. image_column, patient_column, split_column: found by
    their usual names where not given. classes, masks: the columns with labels; without both, masks are those that begin
    with `mask` and classes all the rest. structures: names of the values 1, 2, ... of a single mask column. partial: rows
    whose image is absent are left out, instead of an error.
    """

    root: Path
    table: Path = Path("labels.csv")
    image_column: str = ""
    patient_column: str = ""
    split_column: str = ""
    classes: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    partial: bool = False

    @cached_property
    def _path(self) -> Path:
        return locate(self.root, self.table)

    @cached_property
    def _columns(self) -> tuple[str, str, str]:
        """Of image, patient and split; the last may be "": none."""
        header = read_cells(self._path)[0]
        image = column(header, self.image_column, IMAGE, self._path, "image_column")
        patient = column(header, self.patient_column, PATIENT, self._path, "patient_column")
        usual = next((name for name in header if name.lower() in SPLIT and name not in (image, patient)), "")
        split = column(header, self.split_column, SPLIT, self._path, "split_column") if self.split_column else usual
        return image, patient, split

    @cached_property
    def _labelled(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Columns of classes and of masks. DataError: absent, or there are none."""
        header = read_cells(self._path)[0]
        for name in (*self.classes, *self.masks):
            if name not in header:
                raise DataError(f"has no column {name!r}", file=self._path, remedy=near(name, header, "Columns"))
        rest = [name for name in header if name and name not in self._columns]
        masks, classes = tuple(n for n in rest if n.lower().startswith("mask")), self.classes
        if self.classes or self.masks:
            masks = self.masks
        else:
            classes = tuple(name for name in rest if name not in masks)
        if not classes and not masks:
            raise DataError("has no column of labels", file=self._path, remedy="Add classes, or masks as mask_NAME.")
        if self.structures and len(masks) != 1:
            reason = f"structures name the values of one mask, and there are {len(masks)} mask columns"
            raise SettingError(reason, remedy="Choose one with ?masks=.")
        return classes, masks

    @cached_property
    def _rows(self) -> dict[str, Row]:
        """Image -> its row, checked."""
        image, patient, _ = self._columns
        rows: dict[str, Row] = {}
        for row in read_table(self._path):
            if not row.get(patient):
                remedy = "Splits are by patient: fill the column in, if need be with the image's own name."
                raise DataError(f"names no patient for {row[image]}", file=self._path, remedy=remedy)
            if row[image] in rows:
                raise DataError(f"has two rows for {row[image]}", file=self._path, remedy="Keep one.")
            rows[row[image]] = row
            self._classes_of(row)
        return {id: rows[id] for id in present(rows, set(image_files(self.root)), self._path, self.partial)}

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root: the same."""
        for id, row in self._rows.items():
            for name in self._labelled[1]:
                if (given := row.get(name)) and not (self.root / given).is_file():
                    reason = f"column {name!r} of {id} names {given!r}, which is not here"
                    raise DataError(reason, file=self._path, remedy="Leave the cell blank where there is no mask.")
        return {id: id for id in self._rows}

    def patient(self, id: str, /) -> str:
        """As the table says."""
        self.path(id)
        return self._rows[id][self._columns[1]]

    def labels(self, id: str, /) -> Labels:
        """Classes, and masks (K, H, W) in the order of their columns or of `structures`."""
        classes = self._classes_of(self._rows[id]) if self.path(id) else {}
        return mask_labels(self._planes(id), classes)

    def _planes(self, id: str) -> Mapping[str, Array | None]:
        row, columns = self._rows[id], self._labelled[1]
        if not any(row.get(name) for name in columns):
            return {}
        shape = self.read(id).shape
        if self.structures:
            maps = read_label_map(self.root / row[columns[0]], shape, len(self.structures))
            return dict(zip(self.structures, maps, strict=True))
        return {_structure(n): read_mask(self.root / row[n], shape) if row.get(n) else None for n in columns}

    def _classes_of(self, row: Row) -> dict[str, float]:
        """Class -> 1, 0 or NaN for blank. DataError for anything else."""
        values = {"": float("nan"), "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}
        for name in self._labelled[0]:
            if (text := row.get(name, "")) not in values:
                reason = f"column {name!r} of {row[self._columns[0]]} is {text!r}, not 1, 0 or blank"
                raise DataError(reason, file=self._path, remedy="Correct it, or name the columns with ?classes=.")
        return {name: values[row.get(name, "")] for name in self._labelled[0]}

    def splits(self) -> dict[str, tuple[str, ...]]:
        """What the table says, {} without such a column; an image with a blank belongs to none."""
        split = self._columns[2]
        names = sorted({row[split] for row in self._rows.values() if row.get(split)}) if split else []
        return {name: tuple(id for id in self.ids if self._rows[id].get(split) == name) for name in names}


def _structure(column: str) -> str:
    """The structure that a mask column is of: mask_heart is of the heart."""
    return column[5:] if column.lower().startswith("mask_") and len(column) > 5 else column
