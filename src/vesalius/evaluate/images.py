"""The images that `vesalius predict` is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vesalius.data.datasets import open_dataset
from vesalius.data.scan import Scan


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
