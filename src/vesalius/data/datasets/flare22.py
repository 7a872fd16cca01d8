"""FLARE22: 2,000 unlabelled CT of the abdomen and 50 with 13 organs.

Ma et al., Lancet Digital Health 2024. Unlabelled volumes are `TU_0001_0000.nii.gz` or `Case_00001_0000.nii.gz`; labelled
ones `images/FLARE22_Tr_0001_0000.nii.gz` with `labels/FLARE22_Tr_0001.nii.gz`; all in any folder below root. The volumes
that are tuned and tested on are left out.

vox2vec learned from the unlabelled volumes whose affine is diagonal. Others can be read as well (`diagonal=no`).

Could not be checked against the original: names and folders of the archives, licence, counts, that a number is a patient.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vesalius.data.contoured import Contoured, once
from vesalius.data.datasets import Facts
from vesalius.data.masks import refuse_unpaired
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="flare22",
    title="FLARE22 abdomen",
    modality="CT",
    ndim=3,
    images=2_050,  # unlabelled and labelled
    patients=2_050,
    licence="terms of the challenge (not verified); not for redistribution",
    cite="Ma et al., Unleashing the strengths of unlabelled data in abdominal organ quantification, FLARE22, 2024",
)
ORGANS = (
    "liver", "right kidney", "spleen", "pancreas", "aorta", "inferior vena cava", "right adrenal gland",
    "left adrenal gland", "gallbladder", "esophagus", "stomach", "duodenum", "left kidney",
)  # fmt: skip
UNLABELLED, LABELLED, CHANNEL = ("TU", "Case_"), "FLARE22_Tr_", "_0000"


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are file names without `_0000` and suffix. diagonal: unlabelled volumes whose affine is not are left out."""

    root: Path
    diagonal: bool = True

    @cached_property
    def _found(self) -> dict[str, str]:
        """File name without suffix -> path below root."""
        return once(((stem(path), path) for path in image_files(self.root)), self.root)

    @cached_property
    def _unlabelled(self) -> dict[str, str]:
        return {name.removesuffix(CHANNEL): path for name, path in self._found.items() if name.startswith(UNLABELLED)}

    @cached_property
    def _turned(self) -> frozenset[str]:
        """Unlabelled volumes that are left out."""
        paths = self._unlabelled.items() if self.diagonal else ()
        return frozenset(id for id, path in paths if not _is_diagonal(self.root / path))

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root. DataError: there are none, or an image lacks its label map."""
        labelled = self._labelled(CHANNEL)
        refuse_unpaired(labelled, self.maps, self.root, "label map")
        files = labelled | {id: path for id, path in self._unlabelled.items() if id not in self._turned}
        if not files:
            reason = f"no volume whose name begins with {', '.join((*UNLABELLED, LABELLED))}"
            raise DataError(reason, file=self.root, remedy="Check the path.")
        return files

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map."""
        return self._labelled("")

    def _labelled(self, ending: str) -> dict[str, str]:
        """Images (ending _0000) or label maps (none)."""
        found = {name: path for name, path in self._found.items() if name.startswith(LABELLED)}
        return {
            name.removesuffix(CHANNEL): path for name, path in found.items() if name.endswith(CHANNEL) == bool(ending)
        }

    @property
    def structures(self) -> dict[int, str]:
        """1 to 13."""
        return dict(enumerate(ORGANS, 1))

    @property
    def notes(self) -> tuple[str, ...]:
        """How many volumes are left out."""
        count = len(self._turned)
        return (f"{count:,} volumes are left out: their affine is not diagonal (?diagonal=no).",) if count else ()

    def meta(self, id: str, /) -> dict[str, str]:
        """CT."""
        return {"modality": "CT"}

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, and unlabelled."""
        return self.labelled_first(train=self.maps)


def _is_diagonal(path: Path) -> bool:
    """Whether each axis of the array is one of the body. What cannot be read is for `read` to name."""
    import zlib

    import nibabel

    try:
        affine = np.asarray(nibabel.load(path).affine)  # type: ignore[attr-defined]
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError):
        return True
    turned = affine[:3, :3] - np.diag(np.diag(affine)[:3])
    return bool(np.abs(turned).max() <= 1e-3 * np.abs(affine[:3, :3]).max())
