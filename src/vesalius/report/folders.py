"""What lies in the folders that a report is made of: settings and curves of runs, rows of results, and their artefacts."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import DataError
from vesalius.report.measures import CONTROLS
from vesalius.report.tables import Scores
from vesalius.results import Row, read

Line = dict[str, Any]
Arrays = dict[str, NDArray[Any]]
# Where a folder lies on this machine is nobody's business: of a path only the last name is kept, in settings as well.
PATH = re.compile(r"(?:\b[A-Za-z]:)?[^:?=,\"']*[/\\](?=[^/\\])")


@dataclass(frozen=True)
class RunFolder:
    """A pretraining run: settings with dotted names, and the logged steps, each with all that was said of it."""

    name: str
    settings: dict[str, str]
    steps: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Study:
    """All that was measured on one data set. Artefacts of rows are absolute paths here; they are never shown."""

    data: str
    rows: tuple[Row, ...]
    scores: Scores

    @property
    def measured(self) -> tuple[str, ...]:
        """The runs that are no controls."""
        return tuple(run for run in self.scores.runs if kind(run) == "")

    @property
    def controls(self) -> tuple[str, ...]:
        """The runs that are."""
        return tuple(run for run in self.scores.runs if kind(run))

    def control(self, run: str, of: str) -> str:
        """The control of this kind that was measured with `run`: of the same folder where several were; "" for none."""
        same = [one for one in self.controls if kind(one) == of]
        return next((one for one in same if one.removeprefix(of) == _folder(run)), same[0] if same else "")

    def artefacts(self, measure: str, name: str, run: str) -> Arrays:
        """The arrays that the newest such row of a run names; empty where it names none, or the file is gone."""
        wanted = [r for r in self.rows if r.artefact and (r.measure, r.name, r.run) == (measure, name, run)]
        return _arrays(Path(wanted[-1].artefact)) if wanted else {}

    def lost(self) -> int:
        """How many files named by rows are not there."""
        return sum(not Path(row.artefact).is_file() for row in self.rows if row.artefact)


def kind(run: str) -> str:
    """Which control a run is; "" for none."""
    plain = re.sub(r" \([^()]*\)$", "", run)
    return plain if plain in CONTROLS else ""


def _folder(run: str) -> str:
    found = re.search(r" \([^()]*\)$", run)
    return found.group() if found else ""


def open_folders(paths: Sequence[Path]) -> tuple[list[RunFolder], list[Study]]:
    """The runs and the studies in these folders. DataError where one does not exist or holds nothing to show."""
    names = _names(paths)
    runs, rows = [], {}
    for name, path in names.items():
        has = [(path / file).is_file() for file in ("config.json", "results.jsonl")]
        if not any(has):
            remedy = "Give the folder of a run, or the --out of vesalius anatomy."
            raise DataError("holds neither config.json nor results.jsonl", file=path, remedy=remedy)
        if has[0]:
            runs.append(_run(name, path))
        if has[1]:
            rows[name] = [_located(row, path) for row in read(path / "results.jsonl")]
    studies = [_study(data, rows) for data in dict.fromkeys(row.data for some in rows.values() for row in some)]
    if not studies and not runs:
        raise DataError("holds no rows", file=paths[0] / "results.jsonl", remedy="Run vesalius anatomy first.")
    return runs, studies


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Folder names, told apart by a number where two are the same; one folder given twice counts once."""
    found: dict[str, Path] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        name, n = path.name, 1
        while name in found:
            n += 1
            name = f"{path.name}-{n}"
        found[name] = path
    return found


def _run(name: str, path: Path) -> RunFolder:
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise DataError("cannot be read", file=path / "config.json", remedy="Restore it.") from error
    log = path / "metrics.jsonl"
    settings = flat(config) if isinstance(config, dict) else {}
    settings.pop("out", None)
    return RunFolder(name, settings, tuple(_steps(log)) if log.is_file() else ())


def flat(settings: dict[str, Any], above: str = "") -> dict[str, str]:
    """{"optim": {"lr": 1}} -> {"optim.lr": "1"}; of paths only the last name is kept."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{key}.")
        else:
            items = value if isinstance(value, list) else [value]
            found[f"{above}{key}"] = ", ".join(public(x) if isinstance(x, str) else json.dumps(x) for x in items)
    return found


def public(text: str) -> str:
    """`nih:/home/me/data/nih?table=a.csv` -> `nih:nih?table=a.csv`."""
    return PATH.sub("", text)


def _steps(log: Path) -> Iterable[Line]:
    """Logged steps in order; the loss on held-out patients joins the step it follows. A torn last line is left out."""
    found: dict[int, Line] = {}
    lines = log.read_bytes().split(b"\n")
    for place, text in enumerate(lines, 1):
        try:
            line = json.loads(text) if text.strip() else {}
        except ValueError as error:
            if place == len(lines):
                continue
            raise DataError(f"line {place} is not JSON", file=log, remedy="Restore or delete that line.") from error
        if isinstance(line, dict) and "total_step" in line:
            found.setdefault(line["total_step"], {}).update(line)
    return [found[step] for step in sorted(found)]


def _located(row: Row, folder: Path) -> Row:
    return replace(
        row,
        artefact=str(folder / row.artefact) if row.artefact else "",
        data=public(row.data),
        run=public(row.run) or folder.name,
    )


def _study(data: str, rows: dict[str, list[Row]]) -> Study:
    """All rows of one data set. A run that several folders hold with the same numbers (a control) is kept once; where the
    numbers differ, it is another measurement, and all runs of these folders are told apart by the folder's name."""
    own = {folder: [row for row in some if row.data == data] for folder, some in rows.items()}
    kept: dict[tuple[str, str], list[Row]] = {}
    clash: set[str] = set()
    for folder, some in own.items():
        for run in dict.fromkeys(row.run for row in some):
            mine = [row for row in some if row.run == run]
            others = [where for where, name in kept if name == run]
            if any(_numbers(kept[where, run]) == _numbers(mine) for where in others):
                continue
            clash |= {folder, *others} if others else set()
            kept[folder, run] = mine
    named = [
        replace(row, run=f"{run} ({folder})" if folder in clash else run)
        for (folder, run), some in kept.items()
        for row in some
    ]
    named.sort(key=lambda row: CONTROLS.index(kind(row.run)) + 1 if kind(row.run) else 0)  # controls last; stable
    return Study(data or "unnamed data", tuple(named), Scores(named))


def _numbers(rows: Iterable[Row]) -> set[tuple[str, ...]]:
    about = ("measure", "name", "structure", "condition", "patient", "shots", "draw", "seed")
    return {
        (*(str(getattr(row, field)) for field in about), "" if math.isnan(row.value) else repr(row.value))
        for row in rows
    }


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as error:
        raise DataError("is no .npz of arrays", file=path, remedy="Measure again: vesalius anatomy.") from error
