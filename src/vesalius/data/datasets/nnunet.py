"""The raw layout of nnU-Net: `Dataset001_NAME/{imagesTr,labelsTr,imagesTs}` and `dataset.json`, versions 1 and 2.

Isensee et al., Nature Methods 2021. `imagesTr/CASE_0000.nii.gz` is the first channel of CASE, `CASE_0001.nii.gz` the
second, which are read as channels of one image; `labelsTr/CASE.nii.gz` is the label map. `dataset.json`: `channel_names`
(version 1: `modality`) and `labels`, NAME -> value, or values where structures overlap (version 1: value -> NAME). A case
with the label `ignore` anywhere was not contoured whole: all of its structures are unknown. Cases of imagesTs are
labelled where there is labelsTs. Any format of volume, and with PNG or TIFF images of two dimensions.

Case names say nothing of patients: each case counts as a patient of its own, where `patient_regex` does not tell.
Written from the published description of the layout; not checked against data sets of other people.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from dataclasses import replace as but
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.data.annotations import read_json
from vesalius.data.contoured import Contoured, numbered, volumes
from vesalius.data.datasets import Facts
from vesalius.data.footprint import content
from vesalius.data.masks import refuse_elsewhere, refuse_unpaired
from vesalius.data.scan import Array, Scan
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="nnunet",
    title="a data set in the layout of nnU-Net",
    modality="unknown",
    ndim=3,
    images=0,
    patients=0,
    licence="that of the images",
    cite="",
)
IGNORE = "ignore"


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are the names of the cases. patient_regex: searched in the name, its first group is the patient."""

    root: Path
    patient_regex: str = ""

    @cached_property
    def _described(self) -> dict[str, Any]:
        found = read_json(self.root / "dataset.json")
        return found if isinstance(found, dict) else {}

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels. DataError where dataset.json has none."""
        named = self._described.get("channel_names", self._described.get("modality"))
        if not isinstance(named, dict) or not named:
            remedy = 'It says "channel_names": {"0": "CT"}.'
            raise DataError("names no channels", file=self.root / "dataset.json", remedy=remedy)
        return tuple(map(str, named.values()))

    @cached_property
    def _values(self) -> dict[str, tuple[int, ...]]:
        """Name -> values, background left out."""
        said, path = self._described.get("labels"), self.root / "dataset.json"
        if isinstance(said, dict) and any(isinstance(name, str) and name.isdigit() for name in said):
            return {name: (value,) for value, name in numbered(said, path).items()}
        try:
            several = {name: tuple(map(int, values if isinstance(values, list) else (values,)))
                       for name, values in dict(said or {}).items()}  # fmt: skip
        except (TypeError, ValueError):
            several = {}
        found = {name: values for name, values in several.items() if values != (0,)}
        if not found or min(map(min, found.values())) < 1:
            remedy = 'It says "labels": {"background": 0, "liver": 1}.'
            raise DataError("does not say which structures its labels are", file=path, remedy=remedy)
        return found

    @cached_property
    def structures(self) -> dict[int, str]:
        """Value -> structure, the first of those that it is part of."""
        return {value: name for name, values in reversed(self._values.items()) for value in values}

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """Structure -> its values."""
        return {name: values for name, values in self._values.items() if name != IGNORE}

    def unknown(self, id: str, values: Array, /) -> Collection[str]:
        """All structures, where a part of the case is to be ignored."""
        ignored = any((values == value).any() for value in self._values.get(IGNORE, ()))
        return tuple(self.regions) if ignored else ()

    @cached_property
    def _cases(self) -> dict[str, dict[str, list[str]]]:
        """Tr and Ts -> case -> files, a channel each. DataError for a file of another name, or a channel that is absent."""
        return {part: self._of(f"images{part}") for part in ("Tr", "Ts")}

    def _of(self, folder: str) -> dict[str, list[str]]:
        cases: dict[str, list[str]] = {}
        for name, path in sorted(volumes(self.root, folder).items()):
            match = re.fullmatch(r"(.+)_(\d{4})", name)
            if not match:
                remedy = "The first channel of CASE is CASE_0000.nii.gz."
                raise DataError("its name ends in no channel", file=self.root / path, remedy=remedy)
            files = cases.setdefault(match.group(1), [])
            if int(match.group(2)) == len(files):
                files.append(path)
        for case, files in cases.items():
            if len(files) != len(self.channels):
                reason = f"has {len(files)} channels of {case}, and dataset.json names {len(self.channels)}"
                raise DataError(reason, file=self.root / folder, remedy="Complete the data set.")
        return cases

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, of the first channel."""
        _ = self._values, self.maps  # what is absent or wrong is an error from the start
        found = self._cases["Ts"] | self._cases["Tr"]
        if both := sorted(set(self._cases["Ts"]) & set(self._cases["Tr"])):
            raise DataError(f"has {both[0]} in imagesTr and in imagesTs", file=self.root, remedy="Remove one of them.")
        if not found:
            raise DataError("no imagesTr or imagesTs", file=self.root, remedy="Give the folder DatasetNNN_NAME.")
        return {case: files[0] for case, files in found.items()}

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map. DataError where those of imagesTr are not complete."""
        train, test = (volumes(self.root, f"labels{part}") for part in ("Tr", "Ts"))
        refuse_unpaired(self._cases["Tr"], train, self.root / "labelsTr", "label map")
        return train | {case: path for case, path in test.items() if case in self._cases["Ts"]}

    @property
    def notes(self) -> tuple[str, ...]:
        """That patients are unknown, where they are."""
        hint = "images of one person may fall on both sides of a split. Give ?patient_regex=..."
        return () if self.patient_regex else (f"Patients are unknown: every case counts as one of its own, so {hint}",)

    def patient(self, id: str, /) -> str:
        """By regular expression, or the case. SettingError, DataError: the expression is none, or does not match."""
        self.path(id)
        try:
            match = re.search(self.patient_regex or "(.+)", id)
            found = match.group(1) if match else ""
        except (re.error, IndexError) as error:
            raise SettingError(f"patient_regex {self.patient_regex!r}: {error}", remedy="Put () round it.") from None
        if not found:
            reason = f"patient_regex {self.patient_regex!r} does not match {id}"
            raise DataError(reason, file=self.root, remedy="Widen it.")
        return found

    def _channels(self, id: str) -> list[Path]:
        self.path(id)
        return [self.root / path for path in (self._cases["Tr"].get(id) or self._cases["Ts"][id])]

    def content(self, id: str, /) -> str:
        """Of all channels."""
        each = [content(path) for path in self._channels(id)]
        return each[0] if len(each) == 1 else blake2b("".join(each).encode(), digest_size=16).hexdigest()

    def read(self, id: str, /) -> Scan:
        """(C, x, y, z), its channels one after the other. DataError where these do not lie in one place."""
        from vesalius.data.files import read  # Pillow loads with it

        paths = self._channels(id)
        scans = [read(path) for path in paths]
        for path, scan in zip(paths, scans, strict=True):
            refuse_elsewhere(path, scan, scans[0])
        unit = scans[0].unit if len({scan.unit for scan in scans}) == 1 else "arbitrary"
        return self.named(but(scans[0], image=np.concatenate([scan.image for scan in scans]), unit=unit), id)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, test where it is labelled, and unlabelled."""
        return self.labelled_first(train=self._cases["Tr"], test=self._cases["Ts"])
