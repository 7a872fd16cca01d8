"""Two runs, one number: over the patients and repetitions that both have, how large is the difference, and is it chance?

A repetition is a training: its draw of labelled patients and its seed. Folds together make one repetition, since each
patient is tested in one of them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.report.leaks import stamps
from vesalius.report.tables import NEUTRAL, Quantity
from vesalius.results import Row
from vesalius.statistics import Interval, paired_difference
from vesalius.statistics.cohorts import Cohort, bootstrap, common, exchange
from vesalius.statistics.significance import cohens_d, permutation, superiority, t_interval, t_test, wilcoxon

Array = NDArray[np.float64]
Repetition = tuple[int, int]  # draw, seed; -1 for none
LOWER = ("hd", "assd", "loss", "watch_loss", "brier")  # names that begin so: less is better
CASE = "case"  # rows that are there for pictures, not to be compared
BETTER, WORSE, NOTHING = "better", "worse", "no difference shown"
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Task:
    """What runs can share: a number, and what it was measured on."""

    data: str
    split: str
    space: str
    what: Quantity

    @property
    def lower_is_better(self) -> bool:
        """Distances and errors."""
        return self.what.lower_is_better or self.what.name.startswith(LOWER)

    @property
    def statistic(self) -> str:
        """auc or ap, where patients can be resampled if scores are at hand; "" for other numbers."""
        kind = self.what.name.split("_")[0]
        return kind if kind in ("auc", "ap") else ""


def tasks(rows: Iterable[Row]) -> dict[Task, dict[str, list[Row]]]:
    """Rows -> task -> run -> rows; without what is undefined, neither good nor bad, or no number but a picture or arrays."""
    found: dict[Task, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        what = Quantity(row.measure, row.name, row.condition, row.structure, row.shots)
        task = Task(row.data, row.split, row.space, what)
        if (
            math.isnan(row.value)
            or row.name in (*NEUTRAL, CASE)
            or (row.artefact and not row.patient and not task.statistic)
        ):
            continue
        found[task][row.run].append(row)
    return {task: dict(runs) for task, runs in found.items()}


Measured = dict[Task, dict[str, list[Row]]]


@dataclass(frozen=True, slots=True)
class Paired:
    """a - b in one task. p: of the permutation over patients, `corrected` by Holm; t: p over trainings. NaN: not defined.

    leaks: of a and b, run and what of the test had been seen; such a verdict is no comparison.
    """

    task: Task
    a: str
    b: str
    of_a: float
    of_b: float
    difference: Interval
    p: float
    wilcoxon: float = NAN
    t: float = NAN
    d_z: float = NAN
    superiority: float = NAN
    notes: tuple[str, ...] = ()
    corrected: float = NAN
    leaks: tuple[tuple[str, str], ...] = ()

    @property
    def verdict(self) -> str:
        """Of a: better or worse where the interval excludes 0 and the corrected p is at most 0.05."""
        if not (self.corrected <= 0.05 and self.difference.excludes(0)):
            return NOTHING
        return BETTER if (self.difference.value < 0) == self.task.lower_is_better else WORSE


def pair(
    task: Task, a: str, b: str, runs: dict[str, list[Row]], resamples: int = 9999, family: int = 1
) -> Paired | None:
    """Compare two runs. None where there is one number of the whole cohort on a side: nothing says how sure it is.

    family: how many comparisons p will be corrected for. A p of random permutations cannot be smaller than 2 / resamples:
    there are at least 100 for each comparison, or no verdict could survive the correction. 0: no permutations, and no p.
    """
    found = _pair(task, a, b, [runs[a], runs[b]], resamples, max(resamples, 100 * family) if family else 0)
    return found and replace(found, leaks=tuple(stamps([*runs[a], *runs[b]]).items()))


def _pair(task: Task, a: str, b: str, sides: Sequence[list[Row]], resamples: int, permutations: int) -> Paired | None:
    if all(any(row.patient for row in rows) for rows in sides):
        return _by_patient(task, a, b, sides, resamples, permutations)
    cohort = [[row for row in rows if not row.patient] for rows in sides]
    if task.statistic and all(rows and all(Path(row.artefact).is_file() for row in rows) for rows in cohort):
        return _by_scores(task, a, b, cohort, resamples, permutations)
    return _by_training(task, a, b, cohort)


def _by_patient(task: Task, a: str, b: str, sides: Sequence[list[Row]], resamples: int, permutations: int) -> Paired:
    (first, second), notes = aligned(sides)
    if not first.size:
        return Paired(task, a, b, NAN, NAN, Interval(NAN, NAN, NAN, 0), NAN, notes=notes)
    differences = first.mean(0) - second.mean(0)
    several = len(first) == len(second) > 1
    return Paired(
        task, a, b, float(first.mean()), float(second.mean()),
        paired_difference(first, second, generator(0), over_seeds=several, resamples=resamples),
        permutation(differences, generator(1), resamples=permutations) if permutations else NAN,
        wilcoxon(differences),
        t_test(first.mean(1), second.mean(1)),
        cohens_d(differences),
        superiority(-differences if task.lower_is_better else differences),
        notes,
    )  # fmt: skip


def aligned(sides: Sequence[Iterable[Row]]) -> tuple[list[Array], tuple[str, ...]]:
    """Rows of runs -> their scores (repetitions, patients) for the same patients; notes say what was not shared."""
    cells = [_cells(rows) for rows in sides]
    chosen, note = matched([set(own) for own in cells])
    own_patients = [set.intersection(*(set(c[r]) for r in reps)) for c, reps in zip(cells, chosen, strict=True)]
    patients = sorted(set.intersection(*own_patients))
    measured = [len(set().union(*own.values())) for own in cells]
    notes: tuple[str, ...] = (note,) if note else ()
    if any(count != len(patients) for count in measured):
        notes += (f"{len(patients)} patients in common, of {_listed(measured)}",)
    tables = [[[own[r][p] for p in patients] for r in reps] for own, reps in zip(cells, chosen, strict=True)]
    return [np.array(one, np.float64).reshape(len(one), len(patients)) for one in tables], notes


def _cells(rows: Iterable[Row]) -> dict[Repetition, dict[str, float]]:
    """Several rows of one patient and repetition are averaged."""
    found: dict[Repetition, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.patient:
            found[repetition(row)][row.patient].append(row.value)
    return {r: {p: float(np.mean(some)) for p, some in own.items()} for r, own in found.items()}


def repetition(row: Row) -> Repetition:
    """The draw and seed of a row."""
    return (-1 if row.draw is None else row.draw, -1 if row.seed is None else row.seed)


def matched(sides: Sequence[set[Repetition]]) -> tuple[list[list[Repetition]], str]:
    """The repetitions that all have; where there is none, all of each. The note says where they are not the same."""
    shared = sorted(set.intersection(*sides))
    if all(len(own) == len(shared) for own in sides):
        return [shared] * len(sides), ""
    counts = _listed([len(own) for own in sides])
    if shared:
        return [shared] * len(sides), f"{len(shared)} draws or seeds in common, of {counts}"
    return [sorted(own) for own in sides], f"other draws or seeds ({counts}): trainings are not paired"


def _listed(counts: Sequence[int]) -> str:
    return f"{', '.join(map(str, counts[:-1]))} and {counts[-1]}"


def _by_scores(task: Task, a: str, b: str, sides: Sequence[list[Row]], resamples: int, permutations: int) -> Paired:
    own = [cohorts(rows, task.statistic) for rows in sides]
    chosen, note = matched([set(one) for one in own])
    first, second = ([one[r] for r in reps] for one, reps in zip(own, chosen, strict=True))
    measured = [len(set().union(*(one.patient for one in side))) for side in (first, second)]
    patients = len(reduce(np.intersect1d, [one.patient for one in (*first, *second)]))
    notes = [note] if note else []
    if any(count != patients for count in measured):
        notes.append(f"{patients} patients in common, of {_listed(measured)}")
    if not patients:
        return Paired(task, a, b, NAN, NAN, Interval(NAN, NAN, NAN, 0), NAN, notes=tuple(notes))
    trainings = min(len(first), len(second))
    if len(first) != len(second):
        notes.append(f"p of {trainings} trainings each")
    try:
        everyone = [one.value(task.statistic) for one in common([*first, *second])]
        found = bootstrap(first, second, task.statistic, generator(0), resamples=resamples)
        pairs = first[:trainings], second[:trainings]
        p = exchange(*pairs, task.statistic, generator(1), resamples=permutations) if permutations else NAN
    except SettingError as error:
        raise DataError(f"cannot be compared with {a}: {error}", file=sides[1][0].artefact) from error
    of_a, of_b = everyone[: len(first)], everyone[len(first) :]
    notes += [found.note] if found.note else []
    t = t_test(of_a, of_b)
    return Paired(task, a, b, float(np.mean(of_a)), float(np.mean(of_b)), found, p, t=t, notes=tuple(notes))


def cohorts(rows: Iterable[Row], statistic: str) -> dict[Repetition, Cohort]:
    """Rows that name arrays -> the scores of each training, folds side by side. DataError where they are not the row's."""
    found: dict[Repetition, list[Cohort]] = defaultdict(list)
    for row in rows:
        file = Path(row.artefact)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                cohort = Cohort.of(arrays["patient"], arrays["label"], arrays["score"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            remedy = "It needs the arrays patient, label and score: measure again."
            raise DataError("holds no scores of patients", file=file, remedy=remedy) from error
        value = cohort.value(statistic)
        if not math.isclose(value, row.value, abs_tol=1e-3):
            reason = f"gives {statistic} {value:.4f}, its row says {row.value:.4f}"
            raise DataError(reason, file=file, remedy="It belongs to another measurement: measure again.")
        found[repetition(row)].append(cohort)
    return {r: reduce(Cohort.beside, some) for r, some in found.items()}


def _by_training(task: Task, a: str, b: str, sides: Sequence[list[Row]]) -> Paired | None:
    means: list[list[float]] = []
    for rows in sides:
        own: dict[Repetition, list[float]] = defaultdict(list)
        for row in rows:
            own[repetition(row)].append(row.value)
        means.append([float(np.mean(some)) for some in own.values()])
    if min(map(len, means)) < 2:
        return None
    first, second = means
    found, p = t_interval(first, second), t_test(first, second)
    notes = (f"over {len(first)} and {len(second)} trainings alone: no scores of patients are at hand",)
    return Paired(task, a, b, float(np.mean(first)), float(np.mean(second)), found, p, t=p, notes=notes)
