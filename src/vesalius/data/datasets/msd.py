"""Medical Segmentation Decathlon: any of its ten tasks, as `dataset.json` describes it.

Antonelli et al., Nature Communications 2022 (CC BY-SA 4.0). `Task04_Hippocampus/{imagesTr,labelsTr,imagesTs}/*.nii.gz`;
`dataset.json` names the modalities, the structures and the volumes. Volumes of several modalities (tasks 01 and 05) are
4-D files, and are read as channels. `._*`, which the archives hold, are passed over. Root is the folder of one task.

vox2vec has three folds; which volumes are in which is not published: they are scikit-learn's KFold, shuffled, here.

Could not be checked against the original: nine of ten tasks (what is checked is a repackaged Task04), 4-D volumes, and
that a number is a patient.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from vesalius.data.annotations import read_json
from vesalius.data.contoured import Contoured, numbered, once, one_fold
from vesalius.data.datasets import Facts
from vesalius.data.listed import present
from vesalius.data.scan import Scan
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError

FACTS = Facts(
    name="msd",
    title="a task of the Medical Segmentation Decathlon",
    modality="CT or MR",
    ndim=3,
    images=0,
    patients=0,
    licence="CC BY-SA 4.0",
    cite="Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 2022",
)


@dataclass(frozen=True)
class Dataset(Contoured):
    """Ids are file names without suffix (`hippocampus_001`).

    fold: one of `folds` (`seed` shuffles them); without it all labelled volumes are train. partial: volumes that
    dataset.json names and that are absent are left out, instead of an error.
    """

    root: Path
    fold: int | None = None
    folds: int = 3
    seed: int = 42
    partial: bool = False

    @property
    def _json(self) -> Path:
        return self.root / "dataset.json"

    @cached_property
    def _task(self) -> dict[str, Any]:
        """What dataset.json holds. DataError: absent, or no description of a task."""
        if not self._json.is_file() and (
            tasks := sorted(path.parent.name for path in self.root.glob("*/dataset.json"))
        ):
            raise DataError("holds tasks, and is none", file=self.root, remedy=f"Give one of {', '.join(tasks)}.")
        found = read_json(self._json)
        if not isinstance(found, dict) or not isinstance(found.get("training"), list):
            raise DataError("lists no training volumes", file=self._json, remedy="Download it again.")
        return found

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """What the channels are, such as `CT`, or `FLAIR`, `T1w`, `t1gd`, `T2w`."""
        said = self._task.get("modality")
        return tuple(map(str, said.values())) if isinstance(said, dict) and said else ("",)

    @cached_property
    def structures(self) -> dict[int, str]:
        """As dataset.json has them."""
        return numbered(self._task.get("labels"), self._json)

    @cached_property
    def _training(self) -> dict[str, str]:
        return self._here("imagesTr", self._named("training", "image"))

    @cached_property
    def maps(self) -> dict[str, str]:
        """Id -> label map, of volumes that are here. DataError for one that is absent."""
        found = self._here("labelsTr", self._named("training", "label"))
        return {id: path for id, path in found.items() if id in self._training}

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root, of imagesTr and, where they were fetched, imagesTs."""
        _ = self.structures, self.maps  # a part of the download that is absent is an error from the start
        test = self._here("imagesTs", self._named("test")) if (self.root / "imagesTs").is_dir() else {}
        return {**test, **self._training}

    def _named(self, part: str, key: str = "") -> list[str]:
        """Paths as dataset.json writes them, below root. DataError for anything that is no path."""
        listed = [entry.get(key) if isinstance(entry, dict) else entry for entry in self._task.get(part) or []]
        paths = [str(PurePosixPath(path)) for path in listed if isinstance(path, str)]
        if len(paths) < len(listed):
            raise DataError(f"its list {part!r} holds what is no path", file=self._json, remedy="Download it again.")
        return paths

    def _here(self, folder: str, named: Sequence[str]) -> dict[str, str]:
        """Id -> path, of what is here and is named. DataError for what is named in vain."""
        here: Iterable[str] = image_files(self.root / folder) if (self.root / folder).is_dir() else ()
        found = present(named, {f"{folder}/{file}" for file in here}, self._json, self.partial) if named else ()
        return once(((stem(path), path) for path in found), self._json)

    def meta(self, id: str, /) -> dict[str, str]:
        """CT or MR."""
        return {"modality": "CT" if self.modalities[0].upper() == "CT" else "MR"}

    def read(self, id: str, /) -> Scan:
        """(C, x, y, z), a channel a modality. DataError for another number of channels than dataset.json says."""
        if len(self.modalities) == 1:
            return super().read(id)
        from vesalius.data.nifti import read_nifti  # nibabel loads with it

        path = self.path(id)
        try:
            with path.open("rb") as file:
                scan = read_nifti(file, path, channels=True)
        except OSError as error:
            reason = f"cannot be opened ({error.strerror or error})"
            raise DataError(reason, file=path, remedy="Check the file's permissions and the disk.") from error
        if len(scan.image) != len(self.modalities):
            reason = f"has {len(scan.image)} channels, and {self._json.name} names {len(self.modalities)}"
            raise DataError(reason, file=path, remedy="Download it again.")
        return self.named(scan, id)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train, and the rest as unlabelled. With `fold`, train is parted into train, valid and test."""
        labelled = [id for id in self.ids if id in self.maps]
        parts = {"train": labelled} if self.fold is None else one_fold(labelled, self.fold, self.folds, self.seed)
        return self.labelled_first(**parts)
