"""Radiotherapy planning CT of head and neck with seven organs at risk: the OpenKBP volumes as NIfTI, coarse.

Babier et al., OpenKBP, Medical Physics 2021 (MIT). `images/pt_4.nii.gz` with `labels/pt_4.nii.gz` (one byte a voxel), and
`unlabelled/pt_1.nii.gz`. `dataset.json`: `labels` names the values, `cases` gives the split of each (train, validation,
test) and the contours whose volume is suspect. An organ without a voxel in a label map was not contoured there: it is
unknown, never absent. Spinal cord and esophagus were contoured over varying lengths.

The original comes as tables of sparse voxels, 128 a side, of 340 patients: this is another form of a part of it.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.data.annotations import read_json
from vesalius.data.contoured import Contoured, numbered, once, volumes
from vesalius.data.datasets import Facts
from vesalius.data.listed import present
from vesalius.data.masks import refuse_unpaired
from vesalius.data.scan import Array
from vesalius.errors import DataError

FACTS = Facts(
    name="ct_headneck",
    title="OpenKBP head and neck CT, labelled and unlabelled",
    modality="CT",
    ndim=3,
    images=140,
    patients=140,
    licence="MIT",
    cite="Babier et al., OpenKBP: the open-access knowledge-based planning grand challenge, Medical Physics 2021",
)
SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # what dataset.json calls it -> what we call it


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are file names without suffix (`pt_4`); each is a patient. partial: absent cases are left out, not an error."""

    root: Path
    partial: bool = False

    @property
    def _json(self) -> Path:
        return self.root / "dataset.json"

    @cached_property
    def _described(self) -> dict[str, Any]:
        found = read_json(self._json)
        return found if isinstance(found, dict) else {}

    @cached_property
    def _split_of(self) -> dict[str, str]:
        """Id -> split, of every case whether it is here or not. DataError: no such list, or a split of another name."""
        try:
            given = [(str(case["id"]), case["split"]) for case in self._described["cases"]]
            return {id: SPLITS[split] for id, split in given}
        except (KeyError, TypeError) as error:
            reason = f"does not give each case an id and a split out of {', '.join(SPLITS)} ({error})"
            raise DataError(reason, file=self._json, remedy="Download it again.") from None

    @cached_property
    def structures(self) -> dict[int, str]:
        """As dataset.json has them."""
        return numbered(self._described.get("labels"), self._json)

    @cached_property
    def _labelled(self) -> dict[str, str]:
        images = volumes(self.root, "images")
        return {id: images[id] for id in present(self._split_of, images, self._json, self.partial)}

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root. DataError for a case of dataset.json that is absent, and for one in both folders."""
        _ = self.structures, self.maps
        unlabelled = volumes(self.root, "unlabelled")
        return once((pair for part in (self._labelled, unlabelled) for pair in part.items()), self.root)

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map, one for each case."""
        found = volumes(self.root, "labels")
        here = {id: path for id, path in found.items() if id in self._labelled} if self.partial else found
        refuse_unpaired(self._labelled, here, self.root / "labels", "label map")
        return here

    @property
    def notes(self) -> tuple[str, ...]:
        """How many contours the data set itself holds suspect."""
        count = Counter(organ for case in self._described["cases"] for organ in case.get("suspect", ()))
        listed = ", ".join(f"{organ}: {n}" for organ, n in count.most_common())
        return (f"{count.total():,} contours are suspect by dataset.json ({listed}).",) if count else ()

    def unknown(self, id: str, values: Array, /) -> Collection[str]:
        """Organs without a voxel: they were not contoured."""
        present = np.bincount(values.ravel(), minlength=max(self.structures) + 1) > 0
        return tuple(name for value, name in self.structures.items() if not present[value])

    def meta(self, id: str, /) -> dict[str, str]:
        """CT."""
        return {"modality": "CT"}

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, valid, test; and unlabelled."""
        parts = {name: [id for id in self._labelled if self._split_of[id] == name] for name in SPLITS.values()}
        return self.labelled_first(**parts)
