"""CHASE_DB1: 28 fundus photographs (999 x 960) of both eyes of 14 schoolchildren, vessels by two observers.

Fraz et al., IEEE TBME 2012 (Kingston University). All in one folder: `Image_01L.jpg`, `Image_01L_1stHO.png`,
`Image_01L_2ndHO.png`. Or `images/Image_01L.jpg`, `vessels_1st/Image_01L.png`, `vessels_2nd/Image_01L.png`. The number
is the child, L and R are the eyes. There is no official split; many papers train on the first 20 and test on the last 8.

Could not be checked against the original: the licence, and the names in the original archive.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.masks import mask_labels, read_mask, refuse_unpaired
from vesalius.data.scan import Labels
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="chase_db1",
    title="CHASE_DB1 retinal vessels",
    modality="fundus photograph",
    ndim=2,
    images=28,
    patients=14,
    licence="not verified; not for redistribution",
    cite="Fraz et al., An ensemble classification-based approach applied to retinal blood vessel segmentation, "
    "IEEE TBME 2012",
)
OBSERVERS = {1: "1st", 2: "2nd"}


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix (`Image_01L`). observer: whose vessels, 1 or 2."""

    root: Path
    observer: int = 1

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        if self.observer not in OBSERVERS:
            raise SettingError(f"option observer={self.observer}", remedy="There are two: 1 and 2.")
        folder = "images" if (self.root / "images").is_dir() else "."
        found = image_files(self.root / folder, (".jpg", ".jpeg", ".png", ".tif", ".tiff"))
        files = {stem(file): (Path(folder) / file).as_posix() for file in found}
        photographs = {id: file for id, file in files.items() if re.fullmatch(r"Image_\d\d[LR]", id)}
        if not photographs:
            raise DataError("no image is named like Image_01L.jpg", file=self.root, remedy="Unpack CHASEDB1 here.")
        if self._vessels:
            refuse_unpaired(photographs, self._vessels, self.root, f"mask by observer {self.observer}")
        return photographs

    @cached_property
    def _vessels(self) -> dict[str, Path]:
        """Id -> mask; {} where the observer's masks were not fetched."""
        order = OBSERVERS[self.observer]
        beside = {path.name.partition(f"_{order}HO")[0]: path for path in self.root.glob(f"Image_*_{order}HO.png")}
        return beside or {path.stem: path for path in (self.root / f"vessels_{order}").glob("Image_*.png")}

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether there are labels."""
        return () if self._vessels else (f"There are no masks by observer {self.observer}.",)

    def patient(self, id: str, /) -> str:
        """The number: both eyes are one child's."""
        self.path(id)
        return id.removeprefix("Image_")[:-1]

    def labels(self, id: str, /) -> Labels:
        """Vessels, (1, H, W)."""
        shape = self.read(id).shape
        path = self._vessels.get(id)
        return mask_labels({"vessels": None if path is None else read_mask(path, shape)})
