"""SIIM-ACR Pneumothorax (Kaggle, 2019): frontal chest radiographs, 1024 x 1024 DICOM, with masks of the pneumothorax.

`train-rle.csv` (ImageId, " EncodedPixels" with a blank before it; 10,675 images) beside `dicom-images-train/STUDY/
SERIES/IMAGE.dcm`; `dicom-images-test/` has no labels. The second stage's `stage_2_train.csv` names 12,047. A row is a
mask or -1 for none, and an image may have several rows. Runs are relative: pairs of (pixels to skip since the end of
the last run, pixels to mark), counted down the columns. Licence: the terms of the competition.

The images were taken from ChestX-ray14 and named anew: an encoder pretrained there has seen them, and the patient of
the DICOM header is, as far as is known, one an image, so that a split by patient is a split by image. Could not be
checked against the original: the counts, the header, and that no row mixes -1 with runs.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.masks import mask_labels
from vesalius.data.scan import Array, Labels
from vesalius.data.tables import locate, read_table
from vesalius.data.walk import by_stem, image_files
from vesalius.errors import DataError

FACTS = Facts(
    name="siim_acr",
    title="SIIM-ACR Pneumothorax",
    modality="radiograph",
    ndim=2,
    images=0,
    patients=0,
    licence="terms of the Kaggle competition; not for redistribution",
    cite="SIIM-ACR Pneumothorax Segmentation, Kaggle 2019; images of Wang et al., CVPR 2017",
)
SIDE = 1024  # pixels in which the runs are counted
NAME = "pneumothorax"


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the names in the table, file names without suffix.

    table: CSV, absolute or below root. partial: rows whose image is absent are left out, instead of an error.
    """

    root: Path
    table: Path = Path("train-rle.csv")
    partial: bool = False

    @cached_property
    def _runs(self) -> dict[str, list[str]]:
        """Image -> its rows: runs, or -1."""
        rows: dict[str, list[str]] = {}
        for row in read_table(self._table, ("ImageId", "EncodedPixels")):
            rows.setdefault(row["ImageId"], []).append(row.get("EncodedPixels", ""))
        return rows

    @property
    def _table(self) -> Path:
        return locate(self.root, self.table)

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        found = {name: files[0] for name, files in by_stem(image_files(self.root, (".dcm",))).items()}
        present(self._runs, found, self._table, self.partial)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent or not labelled."""
        counts = {
            "images of the table are absent (a partial download)": sum(name not in self.files for name in self._runs),
            "images of dicom-images-train have no row and are not labelled": sum(
                name not in self._runs and not _is_test(file) for name, file in self.files.items()
            ),
        }
        return tuple(f"{n:,} {what}." for what, n in counts.items() if n)

    def patient(self, id: str, /) -> str:
        """PatientID of the header; the image's id where it is blank."""
        return _header(self.path(id))[0] or id

    def labels(self, id: str, /) -> Labels:
        """Pneumothorax as class and as mask (1, 1024, 1024): the union of its rows, empty for -1; NaN without a row."""
        path = self.path(id)
        if id not in self._runs:
            return Labels({NAME: float("nan")})
        if (shape := _header(path)[1]) != (SIDE, SIDE):
            reason = f"is {shape[0]} x {shape[1]}, but its mask {SIDE} x {SIDE}"
            raise DataError(reason, file=path, remedy="Use the images as they were published.")
        mask = np.zeros((SIDE, SIDE), bool)
        for text in self._runs[id]:
            if text != "-1":
                mask |= self._decoded(text, id)
        return mask_labels({NAME: mask}, {NAME: float(mask.any())})

    def _decoded(self, text: str, id: str) -> Array:
        try:
            return unpack(text, (SIDE, SIDE))
        except ValueError as error:
            raise DataError(f"row of {id}: {error}", file=self._table, remedy="Download the table again.") from None

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train is what the table names, test the other images of dicom-images-test; empty ones left out."""
        train = tuple(id for id in self.ids if id in self._runs)
        test = tuple(id for id in self.ids if id not in self._runs and _is_test(self.files[id]))
        return {name: ids for name, ids in (("train", train), ("test", test)) if ids}


def unpack(text: str, shape: tuple[int, int]) -> Array:
    """(H, W) bool from relative runs, down the columns. ValueError: not pairs of numbers, or past the last pixel."""
    numbers = np.array([int(word) for word in text.split()], np.int64)
    if not len(numbers) or len(numbers) % 2 or numbers.min() < 0:
        raise ValueError("runs are not pairs of numbers of at least 0")
    ends = numbers.cumsum()[1::2]
    if ends[-1] > shape[0] * shape[1]:
        raise ValueError(f"a run ends at pixel {ends[-1]:,} of {shape[0] * shape[1]:,}")
    steps = np.zeros(shape[0] * shape[1] + 1, np.int64)
    np.add.at(steps, ends - numbers[1::2], 1)
    np.add.at(steps, ends, -1)
    flat: Array = steps[:-1].cumsum() > 0
    return flat.reshape(shape[1], shape[0]).T


def _is_test(file: str) -> bool:
    return "test" in file.partition("/")[0]


@cache
def _header(path: Path) -> tuple[str, tuple[int, int]]:
    """Patient and (H, W), without the pixels: splits ask for every patient, and more than once."""
    from pydicom import dcmread

    from vesalius.data.pixels import decoding

    with decoding(path, "DICOM", quote=False):
        header = dcmread(path, stop_before_pixels=True, specific_tags=["PatientID", "Rows", "Columns"])
        return str(header.get("PatientID") or ""), (int(header.Rows), int(header.Columns))
