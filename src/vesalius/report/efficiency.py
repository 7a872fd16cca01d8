"""How good with how many labels: levels with intervals for the curves and tables of transfer. Nothing here knows HTML."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vesalius import statistics
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.report.leaks import stamps
from vesalius.report.paired import Measured, Task, aligned, cohorts, pair, repetition
from vesalius.report.tables import Cell
from vesalius.results import Row
from vesalius.statistics import Interval
from vesalius.statistics.cohorts import Cohort, bootstrap

Level = Interval | float | None
Shots = int | None  # None: all there were
RESAMPLES = 9999


@dataclass(frozen=True, eq=False)
class Panel:
    """One number of one structure (or the mean over them), at each number of labelled patients: run -> rows.

    task: that of all of them, whose `shots` mean nothing.
    """

    task: Task
    at: dict[Shots, dict[str, list[Row]]]
    resamples: int = RESAMPLES
    _known: dict[tuple[str, Shots], Level] = field(default_factory=dict, repr=False)  # each is computed once

    @property
    def runs(self) -> tuple[str, ...]:
        """In the order of their rows."""
        return tuple(dict.fromkeys(run for own in self.at.values() for run in own))

    @property
    def shots(self) -> tuple[Shots, ...]:
        """From few to all."""
        return tuple(sorted(self.at, key=few_first))

    @property
    def leaks(self) -> dict[str, str]:
        """Runs that were measured although the test had been seen."""
        return stamps(row for own in self.at.values() for rows in own.values() for row in rows)

    @property
    def unit(self) -> str:
        """Of the number, such as mm; "" for none."""
        return next((row.unit for own in self.at.values() for rows in own.values() for row in rows), "")

    def level(self, run: str, shots: Shots) -> Level:
        """Mean over patients and draws with its interval; see `level`."""
        if (run, shots) not in self._known:
            rows = self.at[shots].get(run)
            self._known[run, shots] = level(self.task, rows, self.resamples) if rows else None
        return self._known[run, shots]

    def trainable(self, run: str, shots: Shots) -> int | None:
        """Weights of `run` that learned from labels; None where rows do not say."""
        known = [row.parameters for row in self.at[shots].get(run, ()) if row.parameters]
        return round(sum(known) / len(known)) if known else None

    def column(self, shots: Shots) -> dict[str, Cell]:
        """Run -> cell. `best`: surely better than the next best; runs with a leak do not take part."""
        levels = {run: self.level(run, shots) for run in self.runs}
        won = self._best(shots, {run: one for run, one in levels.items() if run not in self.leaks})
        return {run: Cell(one, run == won) for run, one in levels.items()}

    def _best(self, shots: Shots, levels: Mapping[str, Level]) -> str:
        means = {run: one.value for run, one in levels.items() if isinstance(one, Interval) and np.isfinite(one.value)}
        if len(means) < 2:
            return ""
        first, second, *_ = sorted(means, key=lambda run: means[run], reverse=not self.task.lower_is_better)
        found = pair(self.task, first, second, self.at[shots], self.resamples, family=0)
        ahead = found is not None and found.difference.excludes(0)
        return first if found and ahead and (found.difference.value < 0) == self.task.lower_is_better else ""


def labelled(shots: Shots) -> str:
    """Such as `6 labelled`, of patients."""
    return "all labelled" if shots is None else f"{shots} labelled"


def few_first(shots: Shots) -> tuple[bool, int]:
    """The key that sorts numbers of labelled patients; all of them come last."""
    return shots is None, shots or 0


def panels(measured: Measured, resamples: int = RESAMPLES) -> list[Panel]:
    """Tasks that differ in the number of labelled patients alone, together."""
    found: dict[Task, dict[Shots, dict[str, list[Row]]]] = defaultdict(dict)
    for task, runs in measured.items():
        found[replace(task, what=replace(task.what, shots=None))][task.what.shots] = runs
    return [Panel(task, at, resamples) for task, at in found.items()]


def level(task: Task, rows: Sequence[Row], resamples: int = RESAMPLES) -> Level:
    """Of one run: mean over patients and trainings, its interval over both where there are several trainings, else over
    patients. AUC and AP by their scores; a number of the whole cohort without scores has no interval; None: nothing is left.
    """
    if any(row.patient for row in rows):
        (table,), _ = aligned([[row for row in rows if row.patient]])
        if not table.size:
            return None
        if len(table) > 1:
            return statistics.hierarchical(table, generator(0), resamples=resamples)
        return statistics.interval(table[0], generator(0), resamples=resamples)
    if task.statistic and all(Path(row.artefact).is_file() for row in rows):
        return of_cohort(task, rows, resamples)
    trainings: dict[object, list[float]] = defaultdict(list)
    for row in rows:
        trainings[repetition(row)].append(row.value)
    return float(np.mean([np.mean(some) for some in trainings.values()]))


def of_cohort(task: Task, rows: Sequence[Row], resamples: int = RESAMPLES) -> Interval:
    """AUC or AP with its bootstrap interval. A perfect ranking has the value 1 in every resample, so the interval of the
    difference to one is that of the value itself, less 1."""
    own = list(cohorts(rows, task.statistic).values())
    perfect = [Cohort(one.patient, one.label, one.label) for one in own]
    try:
        found = bootstrap(own, perfect, task.statistic, generator(0), resamples=resamples)
    except SettingError as error:
        raise DataError(f"cannot be resampled: {error}", file=rows[0].artefact) from error
    return replace(found, value=found.value + 1, low=found.low + 1, high=found.high + 1)
