"""What lies in the folders that a report is made of: settings and curves of runs, rows of results, and their artefacts."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import DataError
from vesalius.report.measures import ALL_CONTROLS
from vesalius.report.names import labels, located, public, told_apart
from vesalius.report.tables import Scores
from vesalius.results import Row

Line = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class RunFolder:
    """A pretraining run: settings with dotted names, the logged steps, each with all that was said of it, and pictures
    of what the method made of images: names (K,) and images (B, K, H, W)."""

    name: str
    settings: dict[str, str]
    steps: tuple[Line, ...]
    pictures: Arrays = field(default_factory=dict)


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
        return arrays_of(Path(wanted[-1].artefact)) if wanted else {}

    def part(self, measures: Collection[str], *, others: bool = False) -> "Study":
        """What is of these measures, or of all others."""
        own = tuple(row for row in self.rows if (row.measure in measures) != others)
        return Study(self.data, own, Scores(own))

    def lost(self) -> int:
        """How many files named by rows are not there."""
        return sum(not Path(row.artefact).is_file() for row in self.rows if row.artefact)


def kind(run: str) -> str:
    """Which control a run is; "" for none."""
    plain = re.sub(r" \([^()]*\)$", "", run)
    return plain if plain in ALL_CONTROLS else ""


def _folder(run: str) -> str:
    found = re.search(r" \([^()]*\)$", run)
    return found.group() if found else ""


def open_folders(paths: Sequence[Path]) -> tuple[list[RunFolder], list[Study]]:
    """The runs and the studies in these folders. DataError where one does not exist or holds nothing to show."""
    runs, rows = [], {}
    for name, path in labels(paths).items():
        has = [(path / file).is_file() for file in ("config.json", "results.jsonl")]
        if not any(has):
            remedy = "Give the folder of a run, or the --out of vesalius anatomy or evaluate."
            raise DataError("holds neither config.json nor results.jsonl", file=path, remedy=remedy)
        if has[0]:
            runs.append(_run(name, path))
        if has[1]:
            rows[name] = located(path / "results.jsonl", name)
    everything = told_apart(rows)
    sets = dict.fromkeys(row.data for row in everything)
    studies = [_study(data, (row for row in everything if row.data == data)) for data in sets]
    if not studies and not runs:
        raise DataError("holds no rows", file=paths[0] / "results.jsonl", remedy="Run vesalius anatomy first.")
    return runs, studies


def _run(name: str, path: Path) -> RunFolder:
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise DataError("cannot be read", file=path / "config.json", remedy="Restore it.") from error
    log = path / "metrics.jsonl"
    settings = flat(config) if isinstance(config, dict) else {}
    settings.pop("out", None)
    steps = tuple(_steps(log)) if log.is_file() else ()
    return RunFolder(name, settings, steps, arrays_of(path / "pictures.npz"))


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


def _study(data: str, rows: Iterable[Row]) -> Study:
    own = sorted(
        rows, key=lambda row: ALL_CONTROLS.index(kind(row.run)) + 1 if kind(row.run) else 0
    )  # controls last; stable
    return Study(data or "unnamed data", tuple(own), Scores(own))


def arrays_of(path: Path) -> Arrays:
    """Of an .npz; empty where the file is gone. DataError: it is no such file."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as error:
        raise DataError("is no .npz of arrays", file=path, remedy="Measure again.") from error
