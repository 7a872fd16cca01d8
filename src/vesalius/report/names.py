"""Rows of several folders together: which run is whose, and nothing said of where a folder lies."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vesalius.results import FILE, Row, read

# Where a folder lies on this machine is nobody's business: of a path only the last name is kept, in settings as well.
PATH = re.compile(r"(?:\b[A-Za-z]:)?[^:?=,\"']*[/\\](?=[^/\\])")


def public(text: str) -> str:
    """`nih:/home/me/data/nih?table=a.csv` -> `nih:nih?table=a.csv`."""
    return PATH.sub("", text)


def labels(paths: Sequence[Path]) -> dict[str, Path]:
    """Names of folders, or of files of rows, told apart by a number where two are the same; a path given twice counts once."""
    found: dict[str, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        plain = path.stem if path.is_file() and path.name != FILE else (path.parent if path.name == FILE else path).name
        name, n = plain, 1
        while name in found:
            n += 1
            name = f"{plain}-{n}"
        found[name] = path
    return found


def located(file: Path, label: str) -> list[Row]:
    """The rows of a file: artefacts as whole paths, which are never shown; runs without a name get `label`."""
    return [
        replace(
            row,
            artefact=str(file.parent / row.artefact) if row.artefact else "",
            data=public(row.data),
            run=public(row.run) or label,
        )
        for row in read(file)
    ]


def told_apart(folders: Mapping[str, Iterable[Row]]) -> list[Row]:
    """Folder -> rows, as one list. What several folders hold with the same numbers (a control) is kept once.

    Where two hold other numbers of one run in one measure and data set, these are two runs: all runs of both folders on that
    data set get the folder's name, so that a run and the controls that were measured with it stay together.
    """
    kept: dict[tuple[str, str, str, str], list[Row]] = {}
    clash: set[tuple[str, str]] = set()
    for folder, rows in folders.items():
        own: dict[tuple[str, str, str], list[Row]] = {}
        for row in rows:
            own.setdefault((row.data, row.measure, row.run), []).append(row)
        for key, some in own.items():
            others = [where for where, *rest in kept if tuple(rest) == key]
            if any(_numbers(kept[where, *key]) == _numbers(some) for where in others):
                continue
            clash |= {(key[0], where) for where in (folder, *others)} if others else set()
            kept[folder, *key] = some
    return [
        replace(row, run=f"{row.run} ({folder})") if (data, folder) in clash else row
        for (folder, data, _, _), some in kept.items()
        for row in some
    ]


def _numbers(rows: Iterable[Row]) -> set[str]:
    """What makes two measurements the same one: all but where its files lie, and which version measured."""
    return {repr(replace(row, artefact="", version="")) for row in rows}
