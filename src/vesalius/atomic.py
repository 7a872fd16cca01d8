"""Files that are there whole or not at all: written beside their place, then renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vesalius.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path`, of the same suffix, which takes its place when all went well, and goes otherwise.

    Folders above are made. DataError where the disk refuses.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        remedy = "Check the path, its permissions and the space left."
        raise DataError(f"cannot be written ({error.strerror or error})", file=path, remedy=remedy) from error
