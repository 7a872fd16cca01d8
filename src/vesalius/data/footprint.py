"""The files that make up one image: a file, a header with its data beside it, or a folder of slices."""

import hashlib
import re
from pathlib import Path

from vesalius.errors import DataError

_DATA_FILE = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)\s*(\S.*?)\s*$", re.MULTILINE)
_HEADER = 1 << 16  # bytes of a detached header that are looked at


def parts(path: Path) -> tuple[Path, ...]:
    """The files of one image. DataError where they cannot be listed."""
    try:
        if path.is_dir():
            return tuple(sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")))
        if path.suffix.lower() not in (".mhd", ".nhdr"):
            return (path,)
        with path.open("rb") as file:
            named = _DATA_FILE.findall(file.read(_HEADER))
    except OSError as error:
        raise _unreadable(path, error) from None
    data = [path.parent / name.decode(errors="replace") for name in named]
    return (path, *(file for file in data if file.is_file()))


def content(path: Path) -> str:
    """Blake2b of the bytes of all its files, 128 bits in hex. DataError where one cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts(path):
        try:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise _unreadable(part, error) from None
    return digest.hexdigest()


def footprint(path: Path) -> tuple[int, int]:
    """(bytes, mtime_ns), summed over its files: they tell a change without reading. DataError where a file is gone."""
    try:
        stats = [part.stat() for part in parts(path)]
    except OSError as error:
        raise _unreadable(path, error) from None
    return sum(stat.st_size for stat in stats), sum(stat.st_mtime_ns for stat in stats)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot be read ({error.strerror or error})", file=path, remedy="Check the file.")
