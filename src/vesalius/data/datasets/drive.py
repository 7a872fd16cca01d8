"""DRIVE: 40 fundus photographs (565 x 584) of diabetic screening, 20 to train on and 20 to test, with their vessels.

Staal et al., IEEE TMI 2004 (research only, not for redistribution). `training/images/21_training.tif`, `1st_manual/
21_manual1.gif`, `mask/21_training_mask.gif` (the field of view); `test/images/01_test.tif` and so on, with a second
observer in `2nd_manual/01_manual2.gif`. Newer downloads leave out the vessels of the test photographs: those are then
not labelled. Or `train/` and `test/`, each with `images/21.jpg`, `vessels/21.png`, `fov/21.png`.

Could not be checked against the original: that no two photographs are of one person (the number counts as the patient),
and the names in the original archive.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.masks import mask_labels, read_mask, refuse_unpaired
from vesalius.data.scan import Array, Labels
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="drive",
    title="DRIVE retinal vessels",
    modality="fundus photograph",
    ndim=2,
    images=40,
    patients=40,
    licence="terms of the challenge: research; not for redistribution",
    cite="Staal et al., Ridge-based vessel segmentation in color images of the retina, IEEE TMI 2004",
)
Part = Literal["train", "test"]
FOLDERS: dict[Part, tuple[str, ...]] = {"train": ("training", "train"), "test": ("test",)}
VESSELS = {1: ("1st_manual", "vessels"), 2: ("2nd_manual",)}
FIELD = ("mask", "fov")


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the numbers (`01` to `20` test, `21` to `40` train). observer: whose vessels, 1 or 2 (test only)."""

    root: Path
    observer: int = 1

    @cached_property
    def _images(self) -> dict[Part, dict[str, Path]]:
        """Part -> number -> photograph."""
        found: dict[Part, dict[str, Path]] = {part: self._numbered(part, ("images",)) for part in FOLDERS}
        if not any(found.values()):
            raise DataError("no training/images/ or test/images/", file=self.root, remedy="Unpack DRIVE here.")
        return {part: images for part, images in found.items() if images}

    @cached_property
    def _vessels(self) -> dict[str, Path]:
        """Number -> mask. DataError where a folder of masks is there and does not fit the photographs."""
        if self.observer not in VESSELS:
            raise SettingError(f"option observer={self.observer}", remedy="There are two: 1 and 2.")
        return self._masks(VESSELS[self.observer], "mask of vessels")

    @cached_property
    def _fields(self) -> dict[str, Path]:
        return self._masks(FIELD, "field of view")

    def _masks(self, names: tuple[str, ...], what: str) -> dict[str, Path]:
        masks = {}
        for part, images in self._images.items():
            if found := self._numbered(part, names):
                refuse_unpaired(images, found, next(iter(found.values())).parent, what)
                masks.update(found)
        return masks

    def _numbered(self, part: Part, names: tuple[str, ...]) -> dict[str, Path]:
        """Number -> file, in the first of the folders that is there."""
        folders = [self.root / parent / name for parent in FOLDERS[part] for name in names]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        files = sorted(folder.iterdir()) if folder else []
        return {match[0]: file for file in files if (match := re.match(r"\d\d(?=[_.])", file.name))}

    @cached_property
    def files(self) -> dict[str, str]:
        """Number -> path below root."""
        _ = self._vessels, self._fields  # a part of the download that is absent is an error from the start
        images = {number: path for part in self._images.values() for number, path in part.items()}
        return {number: path.relative_to(self.root).as_posix() for number, path in images.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """How many photographs are not labelled."""
        bare = sum(id not in self._vessels for id in self.ids)
        return (f"{bare:,} photographs have no vessels of observer {self.observer}.",) if bare else ()

    def patient(self, id: str, /) -> str:
        """One photograph a patient: its number."""
        self.path(id)
        return id

    def labels(self, id: str, /) -> Labels:
        """Vessels, (1, H, W)."""
        shape = self.read(id).shape
        path = self._vessels.get(id)
        return mask_labels({"vessels": None if path is None else read_mask(path, shape)})

    def field_of_view(self, id: str, /) -> Array | None:
        """(H, W) bool, True where the camera saw the eye: published numbers count these pixels alone."""
        shape = self.read(id).shape
        path = self._fields.get(id)
        return None if path is None else read_mask(path, shape)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train and test."""
        return {part: tuple(sorted(images)) for part, images in self._images.items()}
