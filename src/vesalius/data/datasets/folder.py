"""A folder of images or volumes, recursively. Any format that `data.files` reads; ids are paths below the folder.

A folder with slices of CT, MR or PET is one volume, read whole, and its path is the id (its name where it is the root).
Whose images they are comes from a CSV manifest or from a regular expression on the path. Without either, every image
counts as a patient of its own, and `vesalius inspect` warns about it: a split by patient is then a split by image.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.tables import column, locate, read_table
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="folder",
    title="a folder of images",
    modality="unknown",
    ndim=2,
    images=0,
    patients=0,
    licence="that of the images",
    cite="",
)
IMAGE = ("image", "Image Index", "image_id", "image_name", "image_path", "file", "file_name", "path", "dicom_id", "id")
PATIENT = ("patient", "Patient ID", "subject_id", "subject", "person_id", "case_id", "case")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Options: manifest (CSV, absolute or below root) with its two columns, or patient_regex; suffixes.

    A manifest's image may be a path below root, a file name, or either without suffix. It decides what belongs to the
    data set: a file without a row has an unknown patient and is left out, with a note. patient_regex is searched in the
    path below root, its first group is the patient, and a file that it does not match is an error. series=no takes each
    DICOM slice for an image of its own.
    """

    root: Path
    manifest: Path | None = None
    image_column: str = ""
    patient_column: str = ""
    patient_regex: str = ""
    suffixes: tuple[str, ...] = ()
    series: bool = True

    @property
    def files(self) -> dict[str, str]:
        """Id -> path below root: the same, but for a root that is itself a series of slices."""
        return self._matched[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how files, manifest and patients were matched."""
        return self._matched[2]

    def patient(self, id: str, /) -> str:
        """By manifest, by regular expression, or the image's own path."""
        self.path(id)
        return self._matched[1][id]

    @cached_property
    def _matched(self) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
        """File -> file, file -> patient, notes."""
        if self.manifest is not None and self.patient_regex:
            raise SettingError("manifest and patient_regex both say who the patients are", remedy="Give one of them.")
        found = image_files(self.root, self.suffixes, self.series)
        if self.manifest is not None:
            patients, notes = self._by_manifest(found, locate(self.root, self.manifest))
        elif self.patient_regex:
            patients, notes = self._by_regex(found), ()
        else:
            patients = {file: file for file in found}
            notes = (
                "Patients are unknown: every image counts as a patient of its own, so images of one person may fall on "
                "both sides of a split. Give ?manifest=FILE.csv or ?patient_regex=...",
            )
        name = {file: file if file != "." else self.root.absolute().name for file in patients}
        return {name[file]: file for file in patients}, {name[file]: who for file, who in patients.items()}, notes

    def _by_regex(self, found: tuple[str, ...]) -> dict[str, str]:
        try:
            pattern = re.compile(self.patient_regex)
        except re.error as error:
            raise SettingError(f"patient_regex {self.patient_regex!r}: {error}", remedy="Correct it.") from None
        if not pattern.groups:
            raise SettingError(f"patient_regex {self.patient_regex!r} has no group", remedy="Put () round it.")
        matches = {file: pattern.search(file) for file in found}
        missed = [file for file, match in matches.items() if match is None or not match.group(1)]
        if missed:
            reason = f"patient_regex {self.patient_regex!r} does not match {len(missed):,} of {len(found):,} files"
            remedy = f"First of them: {missed[0]}. Widen it, or leave files out with ?suffixes=."
            raise DataError(reason, file=self.root, remedy=remedy)
        return {file: match.group(1) for file, match in matches.items() if match}

    def _by_manifest(self, found: tuple[str, ...], path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
        """Rows and files brought together. DataError: columns absent, two patients for one file, no match at all."""
        rows = read_table(path)
        header = list(rows[0]) if rows else []
        image = column(header, self.image_column, IMAGE, path, "image_column")
        patient = column(header, self.patient_column, PATIENT, path, "patient_column")
        match = _matcher(found)
        patients: dict[str, str] = {}
        lost = doubtful = nameless = 0
        for row in rows:
            files, whose = match(row.get(image, "")), row.get(patient, "")
            lost, doubtful, nameless = lost + (not files), doubtful + (len(files) > 1), nameless + (not whose)
            if len(files) == 1 and whose and patients.setdefault(files[0], whose) != whose:
                raise DataError(f"gives two patients for {files[0]}", file=path, remedy="Correct the manifest.")
        if not patients:
            reason = f"no row of column {image!r} names a file below {self.root}"
            remedy = f"A row says {rows[0][image]!r}, a file is {found[0]!r}. Choose with ?image_column=."
            raise DataError(reason, file=path, remedy=remedy)
        counts = {
            f"files have no row in {path.name} and are left out: their patients are unknown": len(found)
            - len(patients),
            f"rows of {path.name} have no file": lost,
            f"rows of {path.name} fit several files of the same name: write paths to tell them apart": doubtful,
            f"rows of {path.name} name no patient": nameless,
        }
        return patients, tuple(f"{n:,} {what}." for what, n in counts.items() if n)


def _bare(path: str) -> str:
    """A path without its suffix: images may have been encoded anew."""
    return path.removesuffix(path.rpartition("/")[2]) + stem(path)


def _matcher(found: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What a row says -> the files that fit: by path, with or without leading folders and suffix; else by file name."""
    paths: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for file in found:
        for index, key in ((paths, file), (names, file.rpartition("/")[2])):
            index.setdefault(key, []).append(file)
            if (bare := _bare(key)) != key:
                index.setdefault(bare, []).append(file)

    def match(text: str) -> list[str]:
        parts = text.replace("\\", "/").removeprefix("./").split("/")
        tails = ["/".join(parts[i:]) for i in range(len(parts))]
        tries = [(paths, tail) for tail in tails] + [(names, text)] * (len(parts) == 1)
        return next((index[key] for index, tail in tries for key in (tail, _bare(tail)) if key in index), [])

    return match
