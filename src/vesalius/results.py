"""Rows of results: one number with all that is needed to read it, appended to a file of JSON lines."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from vesalius.atomic import replacing
from vesalius.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = version("vesalius")
FILE = "results.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number. `value` is in `unit`, measured in the standard or the original `space`; NaN means undefined.

    run: what was measured. measure, name: which module and which of its numbers. data, split, structure: on what.
    structure: of the body, such as a landmark. condition: how it was shown: upright, shift, rotation, zoom, all, or "".
    patient: keyed hash, or "" for a number of the whole cohort. shots, draw, fold, seed: which repetition.
    parameters: trainable ones. gflops: of one forward pass. artefact: path beside the file. version: of vesalius.
    leak: what of the test had been seen, where it was measured all the same, such as "pretraining: 12 patients".
    """

    measure: str
    name: str
    value: float
    run: str = ""
    data: str = ""
    split: str = ""
    structure: str = ""
    condition: str = ""
    unit: str = ""
    space: str = ""
    patient: str = ""
    shots: int | None = None
    draw: int | None = None
    fold: int | None = None
    seed: int | None = None
    parameters: int | None = None
    gflops: float | None = None
    artefact: str = ""
    leak: str = ""
    version: str = VERSION

    def __post_init__(self) -> None:
        if math.isinf(self.value):
            raise ValueError(
                f"{self.measure} {self.name} is infinite: a row holds a finite number, or NaN for undefined"
            )


def append(path: Path, rows: Iterable[Row]) -> int:
    """Write each row as it arrives, one line, one write; returns how many. A torn last line is cut off first.

    Raises DataError where the file cannot be written; the rows before stay readable.
    """
    _write(path, b"")
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        _write(path, _line(row))
    return count


def write(path: Path, rows: Iterable[Row]) -> None:
    """All rows at once, in place of what the file held. DataError where it cannot be."""
    with replacing(path) as partial:
        partial.write_bytes(b"".join(_line(row) for row in rows))


def _write(path: Path, line: bytes) -> None:
    """Opened anew for each row: minutes of measuring may lie between two of them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        with path.open("ab") as file:
            file.write(line)
    except OSError as error:
        remedy = "Check the path and the space left."
        raise DataError(f"cannot be written ({error.strerror or error})", file=path, remedy=remedy) from error


def read(path: Path) -> list[Row]:
    """All rows of a file, in order. A last line without its end that does not parse is a torn write, and left out.

    Raises DataError, naming file and line, where a line is no row, has an unknown key or a wrong type.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", file=path, remedy="Check the path.") from error
    *lines, tail = content.split(b"\n")
    rows = [_row(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    return [*rows, _row(tail, path, len(lines) + 1)] if _whole(tail) else rows


def save(folder: Path, name: str, arrays: "Mapping[str, NDArray[Any]]") -> str:
    """Arrays to FOLDER/artefacts/NAME.npz, without pickle; the path that a row names. DataError where it cannot be."""
    import numpy as np  # heavy: not at import

    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    path = folder / "artefacts" / f"{plain}.npz"
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(arrays))
    return f"artefacts/{path.name}"


def select(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """The rows whose fields have these values: select(rows, run="adam", name="knn_accuracy")."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]


def _line(row: Row) -> bytes:
    defaults = {f.name: f.default for f in fields(Row)}
    kept = {name: value for name, value in asdict(row).items() if value != defaults[name]}
    kept["version"] = row.version  # written even where it is the default, which another version has not
    kept["value"] = None if math.isnan(row.value) else float(row.value)  # JSON has no NaN
    return json.dumps(kept, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _row(line: bytes, path: Path, number: int) -> Row:
    place = f"line {number}"
    try:
        found = json.loads(line, parse_constant=_refuse)
    except ValueError as error:
        raise DataError(f"{place} is not JSON", file=path, remedy="Restore or delete that line.") from error
    if not isinstance(found, dict):
        raise DataError(f"{place} is not a row", file=path, remedy="Restore or delete that line.")
    if "value" in found and found["value"] is None:
        found["value"] = math.nan
    kinds = _kinds()
    wrong = [f"unknown key {key!r}" for key in found if key not in kinds]
    wrong += [f"missing key {key!r}" for key in ("measure", "name", "value") if key not in found]
    wrong += [f"{key!r} is {value!r}" for key, value in found.items() if key in kinds and not _fits(value, kinds[key])]
    if wrong:
        raise DataError(f"{place}: {', '.join(wrong)}", file=path, remedy="It needs the vesalius that wrote it.")
    return Row(**{"version": "", **found})


@cache
def _kinds() -> dict[str, tuple[type, ...]]:
    return {name: get_args(kind) or (kind,) for name, kind in get_type_hints(Row).items()}


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    if type(value) is float and math.isinf(value):
        return False
    return type(value) in kinds or (type(value) is int and float in kinds)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _whole(tail: bytes) -> bool:
    """Whether a last line without its end is a whole row nevertheless, as when someone edited the file by hand."""
    try:
        return isinstance(json.loads(tail), dict)
    except ValueError:
        return False


def _mend(path: Path) -> None:
    """Let the next line start on its own, or it would be joined to a torn one and lost with it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read() in (b"", b"\n"):
            return
        file.seek(0)
        content = file.read()
        end = content.rfind(b"\n") + 1
        if _whole(content[end:]):
            file.write(b"\n")
        else:
            file.truncate(end)
