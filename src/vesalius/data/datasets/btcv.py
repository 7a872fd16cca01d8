"""BTCV (Beyond the Cranial Vault, abdomen): 50 abdominal CT of the portal venous phase, 30 of them with 13 organs.

Landman et al., MICCAI challenge 2015 (Synapse syn3193805). `RawData/Training/img/img0001.nii.gz` with
`label/label0001.nii.gz`, and `RawData/Testing/img/img0061.nii.gz`, whose labels were never published. Root is the folder
that holds `RawData`, or that folder itself.

The split of vox2vec: five folds by scikit-learn's KFold (shuffled, seed 42) over the sorted ids of the 30, and one volume
of each training part for validation. Which one is not published: it is drawn here.

Could not be checked against the original: the layout of the archives, the licence, that no two volumes are of one person.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.contoured import Contoured, one_fold, volumes
from vesalius.data.datasets import Facts
from vesalius.data.masks import refuse_unpaired
from vesalius.errors import DataError

FACTS = Facts(
    name="btcv",
    title="BTCV abdomen",
    modality="CT",
    ndim=3,
    images=50,
    patients=50,
    licence="terms of Synapse, after registration (not verified); not for redistribution",
    cite="Landman et al., Multi-atlas labeling beyond the cranial vault, MICCAI 2015, Synapse syn3193805",
)
ORGANS = (
    "spleen", "right kidney", "left kidney", "gallbladder", "esophagus", "liver", "stomach", "aorta",
    "inferior vena cava", "portal and splenic vein", "pancreas", "right adrenal gland", "left adrenal gland",
)  # fmt: skip
HOMES = ("RawData", "", "Abdomen/RawData")


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are `img0001`. fold: one of `folds`, 0 to 4 (`seed` shuffles them); without it all labelled volumes are train."""

    root: Path
    fold: int | None = None
    folds: int = 5
    seed: int = 42

    @cached_property
    def _home(self) -> str:
        """The folder with Training and Testing, below root, with a slash."""
        home = next((home for home in HOMES if (self.root / home / "Training" / "img").is_dir()), None)
        if home is None:
            raise DataError("no RawData/Training/img", file=self.root, remedy="Unpack RawData.zip here.")
        return f"{home}/" if home else ""

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, of both parts."""
        _ = self.maps  # a part of the download that is absent is an error from the start
        return self._training | volumes(self.root, f"{self._home}Testing/img")

    @cached_property
    def _training(self) -> dict[str, str]:
        return volumes(self.root, f"{self._home}Training/img")

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map: label0001 is of img0001."""
        folder = f"{self._home}Training/label"
        found = {name.replace("label", "img"): path for name, path in volumes(self.root, folder).items()}
        refuse_unpaired(self._training, found, self.root / folder, "label map")
        return found

    @property
    def structures(self) -> dict[int, str]:
        """1 to 13."""
        return dict(enumerate(ORGANS, 1))

    def meta(self, id: str, /) -> dict[str, str]:
        """CT."""
        return {"modality": "CT"}

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, and the rest as unlabelled. With `fold`, train is parted into train, valid and test."""
        labelled = sorted(self.maps)
        parts = {"train": labelled} if self.fold is None else one_fold(labelled, self.fold, self.folds, self.seed)
        return self.labelled_first(**parts)
