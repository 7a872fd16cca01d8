"""What a command makes of images: files beside each other by name, and the list of the images that it could not use."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vesalius.atomic import replacing
from vesalius.data.scan import Scan
from vesalius.data.walk import stem
from vesalius.errors import SettingError
from vesalius.progress import say

SUFFIX = {2: ".png", 3: ".nii.gz"}


@dataclass(frozen=True)
class SetAside:
    """Images that could not be used, each said as it comes."""

    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, file: str | Path, reason: str) -> None:
        """reason: one line."""
        self.rows.append({"file": str(file), "reason": reason})
        say(f"set aside: {file}: {reason}")

    def write(self, out: Path) -> None:
        """OUT/set_aside.json, written even where it is empty. DataError where the disk refuses."""
        with replacing(out / "set_aside.json") as path:
            path.write_text(json.dumps(self.rows, indent=2) + "\n", encoding="utf-8")


def output_names(ids: Sequence[str], parts: Sequence[str], kinds: Sequence[str] = ("",)) -> dict[str, list[str]]:
    """Id -> FOLDER/STEM-PART of each part, with forward slashes, below OUT and without suffix. kinds: ends of the names.

    Where two images of a folder share a stem, their names keep their suffixes. SettingError where files still collide.
    """
    whole = {id: PurePosixPath(*(part for part in PurePosixPath(id).parts if part not in ("/", ".."))) for id in ids}
    bare = {id: path.with_name(stem(path.name)) for id, path in whole.items()}
    times = Counter(bare.values())
    plain = [re.sub(r"[^.\w-]+", "_", part) for part in parts]
    found = {id: [f"{path if times[path] == 1 else whole[id]}-{part}" for part in plain] for id, path in bare.items()}
    files = Counter(f"{name}{kind}" for names in found.values() for name in names for kind in kinds)
    if twice := [name for name, n in files.items() if n > 1]:
        remedy = "Rename the images or their parts, or take them one at a time, into other folders."
        raise SettingError(f"two files would be called {twice[0]}", remedy=remedy)
    return found


def write_output(path: Path, values: NDArray[np.bool_ | np.float32], scan: Scan) -> None:
    """A mask, or a map from 0 to 1, of `scan`, (*S): a volume as NIfTI in its place; a picture as PNG, 65535 for 1.

    DataError where the disk refuses.
    """
    if scan.ndim == 3:
        from vesalius.data.nifti import write_nifti  # nibabel loads with it

        write_nifti(path, values.astype(np.uint8) if values.dtype == bool else values, scan.affine)
    else:
        from vesalius.data.files import write_png  # Pillow loads with it

        pixels = values if values.dtype != np.float32 else np.rint(values.clip(0, 1) * 65535).astype(np.uint16)
        write_png(path, pixels)
