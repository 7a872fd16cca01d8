"""Tables (CSV) and lists (one entry a line) as text: nothing is guessed, so that patient 007 stays 007."""

import csv
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from vesalius.errors import DataError

Row = dict[str, str]


def read_table(path: Path, needed: Sequence[str] = ()) -> list[Row]:
    """Rows of a CSV file (comma, semicolon or tab; UTF-8), header -> text.

    DataError: absent, empty, lacks a column of `needed`, or has a row that ends before it, as a cut-off file has.
    """
    header, rows = read_cells(path)
    for name in needed:
        if name not in header:
            raise DataError(f"has no column {name!r}", file=path, remedy=near(name, header, "Columns"))
    width = max((header.index(name) + 1 for name in needed), default=0)
    if short := next((i for i, row in enumerate(rows, 1) if len(row) < width), 0):
        reason = f"row {short:,} of {len(rows):,} has {len(rows[short - 1])} cells, and {width} are needed"
        raise DataError(reason, file=path, remedy="Is the file cut off? Copy it again.")
    return [dict(zip(header, row, strict=False)) for row in rows]


def read_cells(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file as lists of text, stripped; rows of blanks are left out. DataError as above."""
    text = _text(path).splitlines()
    try:
        header, *rows = csv.reader(text, delimiter=max(",;\t", key=text[0].count))
    except (IndexError, ValueError):
        raise DataError("is empty", file=path, remedy="Give a CSV file with a header line.") from None
    except csv.Error as error:
        raise DataError(f"is not a CSV file ({error})", file=path, remedy="Save it as CSV, UTF-8.") from None
    stripped = [[cell.strip() for cell in row] for row in rows]
    return [name.strip() for name in header], [row for row in stripped if any(row)]


def read_list(path: Path) -> tuple[str, ...]:
    """Entries of a text file, one a line; blank lines and lines that start with # are left out. DataError: absent."""
    lines = (line.strip() for line in _text(path).splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def column(header: Sequence[str], given: str, common: Sequence[str], path: Path, option: str) -> str:
    """The column named `given`, or where that is "" the first of the `common` names; case and signs do not matter."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(header)}
    for wanted in (given,) if given else common:
        found = wanted if wanted in header else plain.get(re.sub(r"[^a-z0-9]", "", wanted.lower()))
        if found:
            return found
    reason = f"has no column {given!r}" if given else f"has no column that looks like {common[0]!r}"
    raise DataError(reason, file=path, remedy=f"{near(given or common[0], header, 'Columns')} Name one with {option}=.")


def near(name: str, names: Sequence[str], what: str) -> str:
    """A sentence for an error: names near to `name` first where there are any, else the first twenty."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listed = f"{what}: {', '.join(list(names)[:20]) or 'none'}{', ...' if len(names) > 20 else ''}."
    return f"Did you mean {' or '.join(map(repr, close))}? {listed}" if close else listed


def locate(root: Path, given: str | Path) -> Path:
    """A file that a user names: absolute, or relative to the data set's folder, or to the current one. DataError."""
    tried = [root / Path(given).expanduser(), Path(given).expanduser()]
    for path in tried:
        if path.is_file():
            return path
    raise DataError("no such file", file=given, remedy=f"Looked at {' and '.join(map(str, dict.fromkeys(tried)))}.")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", file=path, remedy="Save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path, remedy="Check the path.") from None
