"""Shenzhen: 662 frontal chest radiographs of outpatients, 326 normal and 336 with manifestations of tuberculosis.

Jaeger et al., 2014 (US National Library of Medicine and Shenzhen No. 3 Hospital). `CXR_png/CHNCXR_0001_0.png`, about
3000 x 3000; the last digit is the label. `ClinicalReadings/CHNCXR_0001_0.txt`, where it was fetched: sex and age ("male
45yrs"), then the finding in words. There is no official split; the papers' (463 / 65 / 134) are lists of file names.

Could not be checked against the original: the counts, the wording of the readings, the licence, and that no person has
two radiographs (each image counts as a patient).
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.listed import present
from vesalius.data.scan import Labels
from vesalius.data.tables import locate, read_list
from vesalius.data.walk import by_stem, image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="shenzhen",
    title="Shenzhen tuberculosis radiographs",
    modality="radiograph",
    ndim=2,
    images=662,
    patients=662,
    licence="open for research (NLM asks to cite and to name the source; not verified)",
    cite="Jaeger et al., Two public chest X-ray datasets for computer-aided screening of pulmonary diseases, QIMS 2014",
)


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix (`CHNCXR_0001_0`).

    train_list, val_list, test_list: text files of names, one a line, the first word or cell of which counts; absolute,
    below root, or from the current folder. partial: names whose image is absent are left out, instead of an error.
    """

    root: Path
    train_list: Path | None = None
    val_list: Path | None = None
    test_list: Path | None = None
    partial: bool = False

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        found = {
            name: files[0]
            for name, files in by_stem(image_files(self.root)).items()
            if re.fullmatch(r"CHNCXR_\d+_\d+", name)
        }
        if not found:
            raise DataError("no image is named like CHNCXR_0001_0.png", file=self.root, remedy="Unpack CXR_png here.")
        if wrong := [file for name, file in found.items() if name[-2:] not in ("_0", "_1")]:
            reason = "its name ends in a label that is not 0 or 1"
            raise DataError(reason, file=self.root / wrong[0], remedy="0 is normal, 1 tuberculosis: correct the name.")
        return found

    def patient(self, id: str, /) -> str:
        """One image a patient: its own id."""
        self.path(id)
        return id

    def meta(self, id: str, /) -> dict[str, str]:
        """Sex and decade of age, where the clinical reading is there and says so."""
        parents = self.path(id).parents[:2]
        reading = next((p for up in parents if (p := up / "ClinicalReadings" / f"{id}.txt").is_file()), None)
        text = " ".join(read_list(reading)).lower() if reading else ""
        sex, age = re.match(r"(fe)?male", text), re.search(r"(\d+)\s*(y|mo|d)", text)
        decade = int(age[1]) // 10 * 10 if age and age[2] == "y" else 0  # months and days are of infants
        known = {"sex": "F" if sex and sex[1] else "M"} if sex else {}
        return known | ({"age_band": f"{decade}-{decade + 9}"} if age else {})

    def labels(self, id: str, /) -> Labels:
        """Tuberculosis, 1 or 0."""
        self.path(id)
        return Labels({"tuberculosis": float(id[-1])})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """What the lists say, {} without; DataError for a name that is not here."""
        lists = {"train": self.train_list, "val": self.val_list, "test": self.test_list}
        return {split: self._listed(locate(self.root, given)) for split, given in lists.items() if given is not None}

    def _listed(self, path: Path) -> tuple[str, ...]:
        names = (stem(re.split(r"[,;\s]", line)[0]) for line in read_list(path))
        return tuple(sorted(present(names, self.files, path, self.partial)))
