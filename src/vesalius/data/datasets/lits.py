"""LiTS: 201 contrast CT of the abdomen for the liver and its tumours, 131 of them with label maps.

Bilic et al., Medical Image Analysis 2023 (ISBI and MICCAI challenges of 2017). `volume-0.nii` with `segmentation-0.nii`, of
which the first batch holds 0 to 27 and the second 28 to 130, and `test-volume-0.nii` to 69, whose label maps were never
published; in any folders below root. Values: 1 liver, 2 tumour. A tumour of the liver is liver: the structure `liver` is
both values, as the challenge counts it.

There is no official split of the 131, and PCRLv2's is not known: all are train (`evaluate --folds` makes some). Task03 of the
Decathlon is the same scans under other names, and volumes 28 to 47 are those of 3D-IRCADb.

How encoders are fine-tuned here differs from PCRLv2's code: docs/reference.md, evaluate, says where.

Could not be checked against the original: the layout of the archives, the licence, that label maps lie where their volumes
lie in all headers, and that no two volumes are of one person.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.contoured import Contoured, once
from vesalius.data.datasets import Facts
from vesalius.data.masks import refuse_unpaired
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="lits",
    title="LiTS",
    modality="CT",
    ndim=3,
    images=201,
    patients=201,
    licence="CC BY-NC-ND 4.0 (not verified)",
    cite="Bilic et al., The Liver Tumor Segmentation Benchmark (LiTS), Medical Image Analysis 2023",
)
NAME = re.compile(r"(volume|segmentation|test-volume)-(\d+)")


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are `volume-0` and, without label map, `test-volume-0`."""

    root: Path

    @cached_property
    def _named(self) -> dict[str, dict[str, str]]:
        """Kind of file -> id -> path below root. DataError: there are none, or one twice."""
        found = [path for path in image_files(self.root, (".nii", ".nii.gz")) if NAME.fullmatch(stem(path))]
        if not any(stem(path).startswith("volume-") for path in found):
            raise DataError("no volume is named like volume-0.nii", file=self.root, remedy="Unpack the two batches.")
        kinds: dict[str, dict[str, str]] = {"volume": {}, "segmentation": {}, "test-volume": {}}
        for name, path in once(((stem(path), path) for path in found), self.root).items():
            kind, _, number = name.rpartition("-")
            kinds[kind][name.replace("segmentation", "volume") if kind == "segmentation" else f"{kind}-{number}"] = path
        return kinds

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        _ = self.maps  # a part of the download that is absent is an error from the start
        return self._named["volume"] | self._named["test-volume"]

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map: segmentation-0 is of volume-0."""
        refuse_unpaired(self._named["volume"], self._named["segmentation"], self.root, "label map")
        return self._named["segmentation"]

    @property
    def structures(self) -> dict[int, str]:
        """Of each value, the first structure that it is part of."""
        return {1: "liver", 2: "tumour"}

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """The liver with its tumours, and the tumours."""
        return {"liver": (1, 2), "tumour": (2,)}

    def meta(self, id: str, /) -> dict[str, str]:
        """CT."""
        return {"modality": "CT"}

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, and the challenge's test as unlabelled."""
        return self.labelled_first(train=self.maps)
