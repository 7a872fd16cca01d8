"""Tables and lists that name images, held against the images that are there."""

from collections.abc import Container, Iterable
from pathlib import Path

from vesalius.errors import DataError


def present(
    named: Iterable[str], here: Container[str], file: Path, partial: bool = False, absent: str = "is not here"
) -> tuple[str, ...]:
    """The names that are here, each once, in order. DataError for what `file` names in vain; partial: only if all is.

    absent: what the error says of such a name.
    """
    names = tuple(dict.fromkeys(named))
    found = tuple(name for name in names if name in here)
    if not found or (not partial and len(found) < len(names)):
        first = next((name for name in names if name not in here), None)
        reason = f"names {first!r}, which {absent}" if first else "names no image"
        more = f" (nor are {len(names) - len(found) - 1:,} others)" if len(names) - len(found) > 1 else ""
        remedy = "Complete the download (inspect says what is amiss), or leave out what is absent with ?partial=yes."
        raise DataError(f"{reason}{more}", file=file, remedy=remedy if found else "Check the path.")
    return found
