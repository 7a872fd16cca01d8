"""From rows of results to the tables of docs/results.md: a pure function, and what puts its text between two marks.

Rows lie in recipes/results/NAME.jsonl, one file an experiment; a table is made of each. `python -m vesalius.recipes.tables`
writes them there, and a test fails where that page says anything else.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vesalius import statistics
from vesalius.chance import generator
from vesalius.errors import DataError
from vesalius.recipes.tables import anatomy, transfer
from vesalius.results import Row, read, select
from vesalius.statistics import Interval

RESULTS = Path(__file__).parents[1] / "results"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
BASE = "random"  # the run that others are compared with: the same network with random weights
SYNTHETIC = ("", "phantom")
WAITING = "The real runs are in progress: no number is claimed yet."
HEAD = (
    "| run | measure | data | value | difference to random weights | patients | seeds |\n|---|---|---|---|---|---|---|"
)


def markdown(experiments: Mapping[str, Sequence[Row]]) -> str:
    """Name of an experiment -> its rows, as Markdown: a table each, and a sentence where no row comes from real scans.

    Values and differences have 95 % intervals over patients, and over seeds where there are several. Rows of a single
    structure are left out. SettingError where the seeds of a run did not meet the same patients.
    """
    parts = [f"**{name}**\n\n{_one(rows)}" for name, rows in sorted(experiments.items()) if rows]
    real = any(row.data not in SYNTHETIC for rows in experiments.values() for row in rows)
    return "\n\n".join([*parts, *([] if real else [WAITING])])


def _one(rows: Sequence[Row]) -> str:
    """The tables of one experiment, by what was measured."""
    if anatomy.of_anatomy(rows):
        return anatomy.markdown(rows)
    return transfer.markdown(rows, RESULTS) if transfer.of_transfer(rows) else table(rows)


def table(rows: Iterable[Row]) -> str:
    """The tables of one experiment: scores of patients, a line for each run and measure; then numbers of whole runs."""
    rows = [row for row in rows if not row.structure]
    scores, numbers = ([row for row in rows if bool(row.patient) == whose] for whose in (True, False))
    keys = dict.fromkeys((row.run, row.measure, row.name, row.data) for row in scores)
    of_patients = "\n".join([HEAD, *(_line(scores, *key) for key in keys)]) if scores else ""
    return "\n\n".join(part for part in (of_patients, _of_runs(numbers)) if part)


def _line(rows: Sequence[Row], run: str, measure: str, name: str, data: str) -> str:
    alike = select(rows, measure=measure, name=name, data=data)
    own, base = select(alike, run=run), select(alike, run=BASE)
    seeds = len({row.seed for row in own})
    scores, patients = statistics.table(own)
    zero = [0.0] * len(patients)  # against 0, the paired difference is the value itself
    value = statistics.paired_difference(scores, [zero] * seeds, generator(0), over_seeds=seeds > 1)
    gain = statistics.compare(own, base, generator(0), over_seeds=seeds > 1) if base and run != BASE else None
    what = f"| {run} | {measure} {name} | {data} |"
    return f"{what} {_words(value)} | {_words(gain, '+') if gain else ''} | {len(patients)} | {seeds} |"


def _of_runs(rows: Sequence[Row]) -> str:
    """Numbers of whole runs, such as hours: a line for each, a column for each run; several seeds side by side."""
    runs = list(dict.fromkeys(row.run for row in rows))
    lines = [f"| | {' | '.join(runs)} |", "|---" * (len(runs) + 1) + "|"]
    for measure, name in dict.fromkeys((row.measure, row.name) for row in rows):
        found = [select(rows, measure=measure, name=name, run=run) for run in runs]
        cells = [", ".join(f"{row.value:.3g} {row.unit}".strip() for row in some) for some in found]
        lines.append(f"| {measure}: {name} | {' | '.join(cells)} |")
    return "\n".join(lines) if rows else ""


def _words(found: Interval, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def put(text: str, block: str, file: str | Path = "docs/results.md") -> str:
    """`text` with `block` between the two marks. DataError where it has not each of them once, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        remedy = f"Write {BEGIN} and {END} once each, where the results belong."
        raise DataError("has no place for results", file=file, remedy=remedy)
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def experiments(folder: Path = RESULTS) -> dict[str, list[Row]]:
    """Name -> rows, of every file in the folder. DataError names the file and line that is no row."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.jsonl"))}
