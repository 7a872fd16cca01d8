"""EyePACS (Kaggle Diabetic Retinopathy Detection, 2015): 88,702 fundus photographs of both eyes of 44,351 people.

`trainLabels.csv` (image, level 0 to 4; 35,126 rows) and images `10_left.jpeg`, `10_right.jpeg`, in `train/` and `test/`
or in one folder. The patient is the number before the underscore. Labels of the test images, where they were fetched:
`retinopathy_solution.csv` (image, level, Usage). Licence: the terms of the competition.

Could not be checked against the original: the counts, and that all 44,351 people have both eyes.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.scan import Labels
from vesalius.data.tables import locate, read_table
from vesalius.data.walk import by_stem, image_files
from vesalius.errors import DataError

FACTS = Facts(
    name="eyepacs",
    title="EyePACS (Diabetic Retinopathy Detection)",
    modality="fundus photograph",
    ndim=2,
    images=88_702,
    patients=44_351,
    licence="terms of the Kaggle competition; not for redistribution",
    cite="Cuadros and Bresnick, EyePACS, J Diabetes Sci Technol 2009; Kaggle 2015",
)
GRADES = ("no retinopathy", "mild", "moderate", "severe", "proliferative")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the names in the table (`10_left`). table, test_table: CSV files, absolute or below root."""

    root: Path
    table: Path = Path("trainLabels.csv")
    test_table: Path = Path("retinopathy_solution.csv")

    @cached_property
    def _present(self) -> dict[str, list[str]]:
        """Stem `NUMBER_left` or `NUMBER_right` -> files."""
        found = by_stem(image_files(self.root))
        return {name: files for name, files in found.items() if _is_eye(name)}

    @cached_property
    def files(self) -> dict[str, str]:
        """Name of the eye -> path below root."""
        if not self._present:
            raise DataError("no image is named like 10_left.jpeg", file=self.root, remedy="Unpack the archives here.")
        _ = self._levels  # the table belongs to the data set: its absence is an error from the start
        return {name: files[0] for name, files in self._present.items()}

    @cached_property
    def _levels(self) -> tuple[dict[str, int], dict[str, int]]:
        """Name of the eye -> grade, in training and in test."""
        test = self.root / self.test_table
        return _grades(locate(self.root, self.table)), _grades(test) if test.exists() else {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent or there twice."""
        labelled = self._levels[0] | self._levels[1]
        counts = {
            "images of the tables are absent (a partial download)": sum(name not in self.files for name in labelled),
            "images have no grade": sum(name not in labelled for name in self.files),
            "images lie in several folders; the first is used": sum(len(f) > 1 for f in self._present.values()),
        }
        return tuple(f"{n:,} {what}." for what, n in counts.items() if n)

    def patient(self, id: str, /) -> str:
        """The number before the underscore: both eyes are one person's."""
        self.path(id)
        return id.partition("_")[0]

    def labels(self, id: str, /) -> Labels:
        """The grade as five classes of which one is 1; NaN where the image has no grade."""
        self.path(id)
        level = (self._levels[0] | self._levels[1]).get(id)
        return Labels({name: float("nan") if level is None else float(level == i) for i, name in enumerate(GRADES)})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train is what trainLabels.csv lists, test is all else; a part that is empty is left out."""
        train = tuple(id for id in self.ids if id in self._levels[0])
        test = tuple(id for id in self.ids if id not in self._levels[0])
        return {name: ids for name, ids in (("train", train), ("test", test)) if ids}


def _is_eye(name: str) -> bool:
    number, _, side = name.partition("_")
    return number.isdigit() and side in ("left", "right")


def _grades(path: Path) -> dict[str, int]:
    grades = {}
    for row in read_table(path, ("image", "level")):
        if row["level"] not in tuple("01234"):
            raise DataError(f"level {row['level']!r} of {row['image']}", file=path, remedy="Levels are 0 to 4.")
        grades[row["image"]] = int(row["level"])
    return grades
