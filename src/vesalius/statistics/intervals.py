"""How sure a number is: intervals and paired differences, with the patient as the unit that is resampled.

Two images, or two landmarks, of one patient are not independent; two patients are. So scores are averaged within a
patient first, and whole patients are drawn. BCa: Efron 1987, doi:10.1080/01621459.1987.10478410, through scipy.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.errors import SettingError

Array = NDArray[np.float64]


class Score(Protocol):
    """What a row of results must have to be resampled: a patient, a seed, a value."""

    @property
    def patient(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int | None: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its interval, over n patients. `note` says where resampling could not give the ends."""

    value: float
    low: float
    high: float
    n: int
    note: str = ""

    def excludes(self, x: float = 0.0) -> bool:
        """Whether `x` lies outside; never where the ends are unknown (NaN)."""
        return bool(x < self.low or x > self.high)

    def __str__(self) -> str:
        """Such as `0.31 [0.25, 0.36], n = 60`."""
        ends = f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}], n = {self.n}"
        return f"{ends} ({self.note})" if self.note else ends


def interval(values: ArrayLike, rng: np.random.Generator, *, level: float = 0.95, resamples: int = 9999) -> Interval:
    """(P,) one score a patient -> their mean with its BCa bootstrap interval.

    Where all scores are equal there is nothing to resample: both ends are that score, and the note says so. One
    patient alone has no interval: the ends are NaN. Below about 20 patients a bootstrap interval is too narrow.
    """
    from scipy import stats  # heavy: not at import

    scores = _finite(values, ndim=1)
    n, mean = len(scores), float(scores.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1, "one patient: no interval")
    if np.ptp(scores) <= 1e-12 * np.abs(scores).max():
        return Interval(mean, mean, mean, n, "every patient has the same score")
    drawn: Any = stats.bootstrap(
        (scores,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 4_000_000 // n),  # at most 32 MB at a time
        confidence_level=level,
        method="BCa",
        rng=rng,
    )
    return Interval(mean, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high), n)


def hierarchical(table: ArrayLike, rng: np.random.Generator, *, level: float = 0.95, resamples: int = 9999) -> Interval:
    """(seeds, patients) scores -> their mean, with an interval for *another* training and *other* patients.

    Every resample draws seeds, then patients, both with replacement, each drawn patient being scored under each drawn
    seed, since all seeds met the same patients (Owen 2007, the pigeonhole bootstrap); ends are percentiles. Leans to
    the wide side in patients; with S seeds it shows only (S - 1) / S of the variance between them.
    """
    scores = _finite(table, ndim=2)
    seeds, patients = scores.shape
    if patients == 1 or seeds == 1:
        note = "one seed: no interval over seeds" if seeds == 1 else "one patient: no interval"
        return Interval(float(scores.mean()), np.nan, np.nan, patients, note)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    of_patients = rng.multinomial(patients, np.full(patients, 1 / patients), resamples) / patients
    means = ((of_seeds @ scores) * of_patients).sum(1)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(scores.mean()), float(low), float(high), patients)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    *,
    over_seeds: bool = False,
    level: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """Mean of a - b over patients, with its interval. a, b: (P,) or (seeds, P), the same patients in the same order.

    Default: seeds are averaged within each patient, then patients are resampled. It speaks of *these* trained networks
    on other patients. With `over_seeds`, `hierarchical`: it speaks of another training too, and needs as many seeds in
    a as in b, paired.
    """
    first, second = (np.atleast_2d(_finite(x)) for x in (a, b))
    if first.shape[1] != second.shape[1] or (over_seeds and first.shape != second.shape):
        raise SettingError(f"scores of shapes {first.shape} and {second.shape} (seeds, patients) cannot be paired")
    if over_seeds:
        return hierarchical(first - second, rng, level=level, resamples=resamples)
    return interval(first.mean(0) - second.mean(0), rng, level=level, resamples=resamples)


def compare(
    a: Iterable[Score], b: Iterable[Score], rng: np.random.Generator, *, over_seeds: bool = False, level: float = 0.95
) -> Interval:
    """`paired_difference` of two sets of rows of one number; rows are matched by patient, and by seed in order.

    Raises SettingError unless both hold the same patients: a difference over other people is not paired.
    """
    (of_a, in_a), (of_b, in_b) = table(a), table(b)
    if in_a != in_b:
        alone = len(set(in_a) ^ set(in_b))
        raise SettingError(f"{alone} patients are in only one of the two", remedy="Measure both on the same patients.")
    return paired_difference(of_a, of_b, rng, over_seeds=over_seeds, level=level)


def table(rows: Iterable[Score]) -> tuple[Array, tuple[str, ...]]:
    """Rows of one number -> ((seeds, patients) scores, patients), both sorted; several rows of a cell are averaged.

    Rows without a patient are of the whole cohort and left out. Raises SettingError where a cell is empty.
    """
    cells: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.patient:
            cells[-1 if row.seed is None else row.seed, row.patient].append(row.value)
    seeds, patients = (tuple(sorted({key[axis] for key in cells})) for axis in (0, 1))
    if not cells or len(cells) != len(seeds) * len(patients):
        raise SettingError(
            f"{len(cells)} scores do not fill {len(seeds)} seeds x {len(patients)} patients",
            remedy="Measure every seed on the same patients.",
        )
    filled = np.array([[np.mean(cells[seed, patient]) for patient in patients] for seed in seeds])  # type: ignore[index]
    return filled, tuple(str(patient) for patient in patients)


def _finite(values: ArrayLike, ndim: int | None = None) -> Array:
    scores = np.asarray(values, np.float64)
    if not scores.size or not np.isfinite(scores).all() or (ndim is not None and scores.ndim != ndim):
        raise SettingError(f"scores of shape {scores.shape} are empty, not finite or not of {ndim or '1 or 2'} axes")
    return scores
