"""BraTS 2018: MR of 285 brains with glioma, 210 of high and 75 of low grade, in four modalities and with label maps.

Menze et al., TMI 2015; Bakas et al., 2018. `HGG/` and `LGG/` hold a folder a patient, `Brats18_2013_2_1/`, with
`Brats18_2013_2_1_t1.nii.gz`, `_t1ce`, `_t2`, `_flair` and `_seg`: all in one space, 240 x 240 x 155 voxels of 1 mm, without
skull. Values: 1 necrosis and core that does not enhance, 2 oedema, 4 enhancing tumour; there is no 3. The challenge counts
three structures that lie in each other: whole tumour (all values), tumour core (1 and 4) and enhancing tumour (4).

The modalities are read as channels, in PCRLv2's order: t1, t2, flair, t1ce. Each has a scale of its own: PCRLv2 brings each
to 0..1 by its own lowest and highest value, the step `Percentiles` here by its own percentiles. Folders without `_seg`, such
as those of the challenge's validation part, are unlabelled. PCRLv2 lists 199, 43 and 35 patients for training, validation
and test, which makes 277: its lists are given as `train_list`, `val_list`, `test_list`. Task01 of the Decathlon has a part
of these patients under other names.

How encoders are fine-tuned here differs from PCRLv2's code: docs/reference.md, evaluate, says where.

Could not be checked against the original: counts, licence, and that no two folders are of one person.
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np

from vesalius.data.contoured import Contoured
from vesalius.data.datasets import Facts
from vesalius.data.footprint import content, footprint
from vesalius.data.listed import present
from vesalius.data.masks import refuse_elsewhere
from vesalius.data.scan import Scan
from vesalius.data.tables import locate, read_list
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="brats18",
    title="BraTS 2018",
    modality="MR",
    ndim=3,
    images=285,
    patients=285,
    licence="terms of CBICA, after registration (not verified); not for redistribution",
    cite="Menze et al., The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), TMI 2015; Bakas et al., "
    "Identifying the best machine learning algorithms for brain tumor segmentation, 2018",
)
MODALITIES = ("t1", "t2", "flair", "t1ce")
SHOWN = 5  # patients in a note
NAME = re.compile(rf"(.+)_({'|'.join(MODALITIES)}|seg)")


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are the names of the folders, `Brats18_2013_2_1`. Patients without all four modalities are left out, with a note.

    train_list, val_list, test_list: text files, a patient a line (an id, or a path that ends in one): the split. partial:
    patients of a list that are absent, or lack a label map, are left out, instead of an error.
    """

    root: Path
    train_list: Path | None = None
    val_list: Path | None = None
    test_list: Path | None = None
    partial: bool = False

    @cached_property
    def _found(self) -> dict[str, dict[str, str]]:
        """Patient -> modality (or seg) -> path below root, of whole patients and others. DataError: one twice, or none."""
        cases: dict[str, dict[str, str]] = {}
        for path in image_files(self.root, (".nii", ".nii.gz")):
            match = NAME.fullmatch(stem(path))
            if match and cases.setdefault(match[1], {}).setdefault(match[2], path) != path:
                remedy = "Remove one of them."
                raise DataError(
                    f"has {stem(path)} twice: {cases[match[1]][match[2]]} and {path}", file=self.root, remedy=remedy
                )
        if not cases:
            raise DataError("no file is named like ID_t1ce.nii.gz", file=self.root, remedy="Unpack HGG and LGG here.")
        return cases

    @cached_property
    def _absent(self) -> dict[str, list[str]]:
        """Patient -> the modalities without which it is left out."""
        absent = {case: [name for name in MODALITIES if name not in found] for case, found in self._found.items()}
        return {case: names for case, names in absent.items() if names}

    @cached_property
    def _cases(self) -> dict[str, dict[str, str]]:
        """Id -> modality (or seg) -> path below root. DataError: no patient has all four modalities."""
        whole = {case: found for case, found in self._found.items() if case not in self._absent}
        if not whole:
            case, names = min(self._absent.items())
            reason = f"no patient has all four modalities; no {names[0]} of {case}"
            raise DataError(reason, file=self.root, remedy="Complete the download.")
        return whole

    @property
    def notes(self) -> tuple[str, ...]:
        """How many are left out, and the first of them."""
        if not self._absent:
            return ()
        named = [f"{case} (no {', '.join(names)})" for case, names in sorted(self._absent.items())]
        first = "; ".join((*named[:SHOWN], *(["..."] if named[SHOWN:] else [])))
        return (f"{len(named):,} patients are left out, who lack a modality: {first}.",)

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, of the first modality."""
        return {case: found[MODALITIES[0]] for case, found in self._cases.items()}

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map."""
        return {case: found["seg"] for case, found in self._cases.items() if "seg" in found}

    @property
    def structures(self) -> dict[int, str]:
        """What the values are."""
        return {1: "necrosis and non-enhancing core", 2: "oedema", 4: "enhancing tumour"}

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """The challenge's three, each in the one before."""
        return {"whole tumour": (1, 2, 4), "tumour core": (1, 4), "enhancing tumour": (4,)}

    def meta(self, id: str, /) -> dict[str, str]:
        """MR."""
        return {"modality": "MR"}

    def _channels(self, id: str) -> list[Path]:
        self.path(id)
        return [self.root / self._cases[id][name] for name in MODALITIES]

    def footprint(self, id: str, /) -> tuple[int, int]:
        """Bytes and times of all four: a change of any is seen."""
        sizes, times = zip(*map(footprint, self._channels(id)), strict=True)
        return sum(sizes), sum(times)

    def content(self, id: str, /) -> str:
        """Of all four."""
        return blake2b("".join(map(content, self._channels(id))).encode(), digest_size=16).hexdigest()

    def read(self, id: str, /) -> Scan:
        """(4, x, y, z): t1, t2, flair, t1ce. DataError where these do not lie in one place."""
        from vesalius.data.files import read  # Pillow loads with it

        paths = self._channels(id)
        scans = [read(path) for path in paths]
        for path, scan in zip(paths, scans, strict=True):
            refuse_elsewhere(path, scan, scans[0])
        return self.named(replace(scans[0], image=np.concatenate([scan.image for scan in scans]), unit="arbitrary"), id)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Train, and what has no label map as unlabelled; or train, val and test as the lists say."""
        lists = {"train": self.train_list, "val": self.val_list, "test": self.test_list}
        given = {split: self._listed(locate(self.root, path)) for split, path in lists.items() if path is not None}
        return self.labelled_first(**(given or {"train": tuple(self.maps)}))

    def _listed(self, path: Path) -> tuple[str, ...]:
        names = (line.split()[0].rstrip("/").rpartition("/")[2] for line in read_list(path))
        return present(names, self.maps, path, self.partial, "is not here with a label map")
