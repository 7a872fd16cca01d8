"""The images that `vesalius predict` is given, and the names of the masks that it makes of them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vesalius.data.datasets import open_dataset
from vesalius.data.scan import Scan
from vesalius.data.walk import stem
from vesalius.errors import SettingError

KINDS = ("", "-probability")


@dataclass(frozen=True)
class Images:
    """Where images come from. name: of the whole source. root: the folder they lie in, None where they lie in none."""

    name: str
    ids: tuple[str, ...]
    read: Callable[[str], Scan]
    path: Callable[[str], Path | None]
    root: Path | None = None


def open_images(source: str) -> Images:
    """A file, a folder with all below it, or a data set. DataError: nothing is there. SettingError: no such data set."""
    place = Path(source).expanduser()
    if place.is_file():
        from vesalius.data.files import read  # Pillow loads with it

        return Images(str(place.resolve()), (place.name,), lambda _: read(place), lambda _: place)
    dataset = open_dataset(source)
    name = str(place.resolve()) if place.is_dir() else source
    return Images(name, dataset.ids, dataset.read, dataset.path, getattr(dataset, "root", None))


def mask_names(ids: Sequence[str], structures: Sequence[str]) -> dict[str, list[str]]:
    """Id -> FOLDER/STEM-STRUCTURE of each structure, with forward slashes, below OUT and without .png.

    Where two images of a folder share a stem, their names keep their suffixes. SettingError where masks still collide.
    """
    whole = {id: PurePosixPath(*(part for part in PurePosixPath(id).parts if part not in ("/", ".."))) for id in ids}
    bare = {id: path.with_name(stem(path.name)) for id, path in whole.items()}
    times = Counter(bare.values())
    plain = [re.sub(r"[^.\w-]+", "_", structure) for structure in structures]
    found = {
        id: [f"{path if times[path] == 1 else whole[id]}-{structure}" for structure in plain]
        for id, path in bare.items()
    }
    masks = Counter(f"{name}{kind}" for names in found.values() for name in names for kind in KINDS)
    if twice := [name for name, n in masks.items() if n > 1]:
        remedy = "Rename the images, or segment them one at a time into other folders."
        raise SettingError(f"two masks would be called {twice[0]}.png", remedy=remedy)
    return found
