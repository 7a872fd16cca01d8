"""SCR on JSRT: 247 PA chest radiographs from film, 2048 x 2048, with masks of heart, lungs and clavicles.

Shiraishi et al., AJR 2000: `JPCLN001.IMG` to 154 with one nodule, `JPCNN001.IMG` to 093 without; 12 bits in 16,
big-endian, no header, 0.175 mm a pixel; stored values are inverted (air is high) and turned here. van Ginneken et al.,
MedIA 2006: `fold1/masks/heart/JPCLN001.gif`, `left lung`, `right lung`, `left clavicle`, `right clavicle` (the
patient's sides), 1024 x 1024, which are enlarged to the image; structures may overlap. Official folds: odd numbers and
even numbers, each tested on after training on the other.

Could not be checked against the original: that one person has one image (JSRT does not say), the size of the masks, and
the folders of the archives. The images may lie in any folder below root, or beside the masks.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.masks import mask_labels, read_mask
from vesalius.data.scan import Labels, Scan
from vesalius.errors import DataError, SettingError

FACTS = Facts(
    name="scr_jsrt",
    title="SCR segmentations of JSRT",
    modality="radiograph",
    ndim=2,
    images=247,
    patients=247,
    licence="research, after registration (JSRT); cite both papers",
    cite="Shiraishi et al., AJR 2000; van Ginneken et al., Segmentation of anatomical structures in chest radiographs, "
    "MedIA 2006",
)
STRUCTURES = ("heart", "left lung", "right lung", "left clavicle", "right clavicle")
SIDE, TOP, SPACING = 2048, 4095, 0.175  # pixels, greatest value of 12 bits, mm


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are file names without suffix (`JPCLN001`). test_fold: 1 (odd numbers) or 2 (even), the other is train."""

    root: Path
    test_fold: int = 2

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path below root."""
        if self.test_fold not in (1, 2):
            raise SettingError(f"option test_fold={self.test_fold}", remedy="There are two: 1 and 2.")
        named = (path for path in sorted(self.root.rglob("*")) if re.fullmatch(r"(?i)JPC[LN]N\d{3}\.IMG", path.name))
        found = {path.stem: path.relative_to(self.root).as_posix() for path in named}
        if not found:
            raise DataError("no JPCLN001.IMG or the like", file=self.root, remedy="Put the images of JSRT here.")
        for id in sorted(found.keys() & self._masks):
            if absent := set(STRUCTURES) - set(self._masks[id]):
                path = next(iter(self._masks[id].values())).parents[1] / min(absent) / f"{id}.gif"
                raise DataError("no such mask, though there are others", file=path, remedy="Complete the download.")
        return found

    @cached_property
    def _masks(self) -> dict[str, dict[str, Path]]:
        """Id -> structure -> file; the folder of a mask is its structure."""
        masks: dict[str, dict[str, Path]] = {}
        for path in sorted(self.root.rglob("JPC*.gif")):
            if path.parent.name in STRUCTURES:
                masks.setdefault(path.stem, {})[path.parent.name] = path
        return masks

    @property
    def notes(self) -> tuple[str, ...]:
        """What is absent."""
        bare = sum(id not in self._masks for id in self.ids)
        lonely = sum(id not in self.files for id in self._masks)
        counts = {"images have no mask": bare, "images that have masks are absent": lonely}
        return tuple(f"{n:,} {what}." for what, n in counts.items() if n)

    def patient(self, id: str, /) -> str:
        """One image a patient: its own id."""
        self.path(id)
        return id

    def read(self, id: str, /) -> Scan:
        """(1, 2048, 2048) uint16, bone bright, 0.175 mm a pixel. DataError: not of this size, or of more than 12 bits."""
        from vesalius.data.pixels import full_scale

        path = self.path(id)
        try:
            stored = np.fromfile(path, ">u2")
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", file=path, remedy="Check the file.") from None
        if path.stat().st_size != 2 * SIDE**2:
            reason = f"has {path.stat().st_size:,} bytes, not {2 * SIDE**2:,}"
            raise DataError(reason, file=path, remedy="Copy it again: JSRT's images are raw, without a header.")
        if stored.max() > TOP:
            reason = f"holds {stored.max()}, more than 12 bits"
            raise DataError(reason, file=path, remedy="Copy it again as it came: its bytes may have been swapped.")
        image = full_scale(TOP - stored.astype(np.uint16), 12).reshape(1, SIDE, SIDE)
        return Scan(image, "0..1", id=id, patient=self.patient(id), spacing=(SPACING, SPACING), meta={"view": "PA"})

    def labels(self, id: str, /) -> Labels:
        """Five masks, (5, 2048, 2048)."""
        self.path(id)
        if (files := self._masks.get(id)) is None:
            return Labels()
        return mask_labels({name: read_mask(files[name], (SIDE, SIDE), coarse=True) for name in STRUCTURES})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Official: train is one fold, test the other."""
        test = tuple(id for id in self.ids if self._fold(id) == self.test_fold)
        return {"train": tuple(id for id in self.ids if id not in set(test)), "test": test}

    def _fold(self, id: str) -> int:
        """Of the folder that holds its masks; 1 for odd and 2 for even numbers where none says."""
        folders = next(iter(self._masks.get(id, {}).values()), Path()).parts
        return next((int(part[-1]) for part in folders if part in ("fold1", "fold2")), 2 - int(id[-1]) % 2)
