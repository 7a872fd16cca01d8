"""AMOS: 500 CT and 100 MR of the abdomen, 360 of them with 15 organs published.

Ji et al., NeurIPS 2022 (Zenodo 7262581). `imagesTr/amos_0001.nii.gz` with `labelsTr/`, `imagesVa/` with `labelsVa/`, and
`imagesTs/` without labels. Numbers to 500 are CT, those above are MR. vox2vec learned from the CT.

In an MR without a voxel of bladder or prostate these count as unknown: they are said not to have been contoured in MR.

Could not be checked against the original: counts, licence, which numbers are MR, bladder and prostate, and that no two
volumes are of one person.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.contoured import Contoured, once, volumes
from vesalius.data.datasets import Facts
from vesalius.data.masks import refuse_unpaired
from vesalius.data.scan import Array
from vesalius.data.tables import near
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="amos",
    title="AMOS abdomen",
    modality="CT",
    ndim=3,
    images=500,  # of CT
    patients=500,
    licence="CC BY 4.0 (not verified)",
    cite="Ji et al., AMOS: a large-scale abdominal multi-organ benchmark, NeurIPS 2022",
)
ORGANS = (
    "spleen", "right kidney", "left kidney", "gallbladder", "esophagus", "liver", "stomach", "aorta",
    "inferior vena cava", "pancreas", "right adrenal gland", "left adrenal gland", "duodenum", "bladder",
    "prostate or uterus",
)  # fmt: skip
NOT_IN_MR = ("bladder", "prostate or uterus")
PARTS = {"train": "Tr", "valid": "Va", "test": "Ts"}
LAST_CT = 500
MODALITIES = ("ct", "mr", "all")


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are `amos_0001`. modality: `ct`, `mr` or `all`."""

    root: Path
    modality: str = "ct"

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise SettingError(f"modality {self.modality!r}", remedy=near(self.modality, MODALITIES, "Choices"))

    @cached_property
    def _images(self) -> dict[str, dict[str, str]]:
        """Part -> id -> path. DataError: there are none."""
        found = {part: self._wanted(f"images{ending}") for part, ending in PARTS.items()}
        if not any(found.values()):
            reason = f"no imagesTr, imagesVa or imagesTs with {self.modality.upper()} in it"
            raise DataError(reason, file=self.root, remedy="Unpack amos22.zip, and give the folder that holds these.")
        return found

    def _wanted(self, folder: str) -> dict[str, str]:
        return {
            name: path
            for name, path in volumes(self.root, folder).items()
            if (match := re.fullmatch(r"amos_(\d+)", name))
            and self.modality in ("all", "ct" if int(match.group(1)) <= LAST_CT else "mr")
        }

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        _ = self.maps  # a part of the download that is absent is an error from the start
        return once((pair for images in self._images.values() for pair in images.items()), self.root)

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map, of the parts that have any. DataError where these are not complete."""
        found: dict[str, str] = {}
        for part, ending in PARTS.items():
            folder = f"labels{ending}"
            if labels := self._wanted(folder):
                refuse_unpaired(self._images[part], labels, self.root / folder, "label map")
                found |= labels
        return found

    @property
    def structures(self) -> dict[int, str]:
        """1 to 15."""
        return dict(enumerate(ORGANS, 1))

    def unknown(self, id: str, values: Array, /) -> Collection[str]:
        """In MR, bladder and prostate, where they have no voxel."""
        if self.meta(id)["modality"] == "CT":
            return ()
        return tuple(name for name in NOT_IN_MR if not (values == ORGANS.index(name) + 1).any())

    def meta(self, id: str, /) -> dict[str, str]:
        """CT or MR, by the number."""
        return {"modality": "CT" if int(id.rpartition("_")[2]) <= LAST_CT else "MR"}

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train and valid; what has no label map is unlabelled."""
        return self.labelled_first(**self._images)
