"""Rows -> cells with intervals: pure functions, for the page and for any other table. Nothing here knows HTML.

A score of a patient is the mean of the patient's rows (seeds, draws). Patients are resampled, never images; differences
are paired over the patients that both runs have, and their n says how many. Every interval is computed once.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vesalius import statistics
from vesalius.chance import generator
from vesalius.results import Row
from vesalius.statistics import Interval

NEUTRAL = ("cosine", "cosine_shuffled", "matched", "found", "inliers")  # more of these is not better


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number that can be compared between runs: which measure, which of its numbers, shown how, of what part."""

    measure: str
    name: str
    condition: str = ""
    structure: str = ""
    shots: int | None = None

    @property
    def lower_is_better(self) -> bool:
        """Errors; of everything else, more is better."""
        return self.name.startswith(("error", "tre"))


def quantity(row: Row) -> Quantity:
    """What a row is a value of."""
    return Quantity(row.measure, row.name, row.condition, row.structure, row.shots)


class Scores:
    """The rows of one data set, by run and quantity, with intervals that are computed when first asked for."""

    def __init__(self, rows: Iterable[Row], *, resamples: int = 9999) -> None:
        """Undefined values (NaN) and rows that name an artefact are no scores, and left out."""
        self.resamples = resamples
        of_patients: dict[tuple[str, Quantity], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        of_cohort: dict[tuple[str, Quantity], list[float]] = defaultdict(list)
        for row in rows:
            if math.isnan(row.value) or row.artefact:
                continue
            key = row.run, quantity(row)
            if row.patient:
                of_patients[key][row.patient].append(row.value)
            else:
                of_cohort[key].append(row.value)
        self._scores = {key: {p: float(np.mean(some)) for p, some in own.items()} for key, own in of_patients.items()}
        self._cohort = {key: float(np.mean(some)) for key, some in of_cohort.items()}
        self.runs = tuple(dict.fromkeys(run for run, _ in [*self._scores, *self._cohort]))
        self.interval = lru_cache(maxsize=None)(self._interval)
        self.difference = lru_cache(maxsize=None)(self._difference)

    def quantities(self, measure: str, *, cohort: bool = False) -> list[Quantity]:
        """All that were measured of patients (or of the whole cohort), in the order of their first rows."""
        found = self._cohort if cohort else self._scores
        return list(dict.fromkeys(what for _, what in found if what.measure == measure))

    def of(self, run: str, what: Quantity) -> dict[str, float]:
        """Patient -> score; empty where the run has none."""
        return self._scores.get((run, what), {})

    def cohort(self, run: str, what: Quantity) -> float | None:
        """A number of the whole cohort, which has no interval."""
        return self._cohort.get((run, what))

    def patients(self, measure: str = "") -> set[str]:
        """All who have a score, of one measure or of any."""
        return {p for (_, what), own in self._scores.items() if measure in ("", what.measure) for p in own}

    def _interval(self, run: str, what: Quantity, level: float = 0.95) -> Interval | None:
        """Mean over patients with its interval; None where the run has no scores."""
        scores = self.of(run, what)
        return self._over([scores[p] for p in sorted(scores)], level) if scores else None

    def _difference(self, a: str, b: str, what: Quantity, level: float = 0.95) -> Interval | None:
        """Mean of a - b over the patients that both have; None where there is none."""
        first, second = self.of(a, what), self.of(b, what)
        common = sorted(first.keys() & second.keys())
        return self._over([first[p] - second[p] for p in common], level) if common else None

    def advantage(self, a: str, b: str, what: Quantity, level: float = 0.95) -> Interval | None:
        """`difference` with the sign that makes above 0 mean: a is better."""
        return self.difference(b, a, what, level) if what.lower_is_better else self.difference(a, b, what, level)

    def between(self, run: str, a: Quantity, b: Quantity, level: float = 0.95) -> Interval | None:
        """Mean of a - b of one run over patients, such as upright less moved."""
        first, second = self.of(run, a), self.of(run, b)
        common = sorted(first.keys() & second.keys())
        return self._over([first[p] - second[p] for p in common], level) if common else None

    def _over(self, values: Sequence[float], level: float) -> Interval:
        return statistics.interval(values, generator(0), level=level, resamples=self.resamples)


@dataclass(frozen=True, slots=True)
class Cell:
    """An interval, or a number without one, or neither where nothing was measured. `best`: surely the best of its group."""

    found: Interval | float | None
    best: bool = False

    def __str__(self) -> str:
        """Such as `0.731 [0.690, 0.770]`."""
        if self.found is None:
            return "–"
        if isinstance(self.found, float):
            return number(self.found)
        ends = (self.found.low, self.found.high)
        return number(self.found.value) + ("" if math.isnan(ends[0]) else f" [{number(ends[0])}, {number(ends[1])}]")


@dataclass(frozen=True, slots=True)
class Line:
    """A label and its cells, one a column."""

    label: str
    cells: tuple[Cell, ...]

    @property
    def patients(self) -> str:
        """`60`, or `57–60` where the cells do not have the same number; empty without intervals."""
        counts = sorted({cell.found.n for cell in self.cells if isinstance(cell.found, Interval)})
        return f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))


def headline(scores: Scores, what: Sequence[Quantity]) -> list[Line]:
    """A line a run, a cell a quantity. Bold (`best`): better than the next best, the paired 95 % interval excluding 0."""
    winners = [best(scores, one) for one in what]
    return [
        Line(run, tuple(Cell(scores.interval(run, one), run == won) for one, won in zip(what, winners, strict=True)))
        for run in scores.runs
    ]


def values(scores: Scores, what: Sequence[Quantity], runs: Sequence[str] = ()) -> list[Line]:
    """A line a quantity, a cell a run."""
    columns = runs or scores.runs
    return [
        Line(described(one), tuple(Cell(scores.interval(run, one), run == best(scores, one)) for run in columns))
        for one in what
    ]


def differences(scores: Scores, what: Sequence[Quantity], runs: Sequence[str], bases: Sequence[str]) -> list[Line]:
    """A line a quantity, a cell a run: run less its base, paired over patients, as measured (not turned round for errors)."""
    pairs = list(zip(runs, bases, strict=True))
    return [Line(described(one), tuple(Cell(scores.difference(a, b, one)) for a, b in pairs)) for one in what]


def of_cohort(scores: Scores, what: Sequence[Quantity], runs: Sequence[str] = ()) -> list[Line]:
    """A line a quantity, a cell a run: numbers of the whole cohort, without intervals."""
    return [Line(described(one), tuple(Cell(scores.cohort(run, one)) for run in runs or scores.runs)) for one in what]


def best(scores: Scores, what: Quantity) -> str:
    """The run that is surely best: its paired interval against the next best excludes 0. Else "", as for NEUTRAL numbers."""
    if what.name in NEUTRAL:
        return ""
    means = {run: found.value for run in scores.runs if (found := scores.interval(run, what)) is not None}
    if len(means) < 2:
        return ""
    first, second, *_ = sorted(means, key=lambda run: means[run], reverse=not what.lower_is_better)
    ahead = scores.advantage(first, second, what)
    return first if ahead is not None and ahead.low > 0 else ""


def described(what: Quantity) -> str:
    """Such as `within_5, moved, 1 image annotated`; names of numbers stay as they are in results.jsonl."""
    shots = "" if what.shots is None else f"{what.shots} image{'s' * (what.shots != 1)} annotated"
    return ", ".join(part for part in (what.name, what.structure, what.condition, shots) if part)


def number(x: float) -> str:
    """Three decimals for shares and cosines, one for pixels and the like; a minus that is one."""
    text = f"{x:.3f}" if abs(x) < 10 else f"{x:.1f}"
    return text.replace("-", "−")
