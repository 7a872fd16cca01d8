"""Two models' AUC or average precision on the same patients: paired bootstrap and paired permutation, by whole patients.

A number of the whole cohort has no value a patient, so it is computed anew for each resample of patients. All images of a
patient, and all scores of both models, go together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.errors import SettingError
from vesalius.statistics.curves import value, weighted
from vesalius.statistics.intervals import Interval

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
BATCH = 4_000_000  # weights held at a time: 32 MB


@dataclass(frozen=True, eq=False)
class Cohort:
    """One trained model's scores. patient (N,) str; label, score (N, K): K rankings, whose values are averaged.

    A ranking is a class, or a fold; a label that is NaN leaves the image out of it. A ranking that lacks positives or
    negatives has no value, and is left out.
    """

    patient: NDArray[np.str_]
    label: Array
    score: Array

    @classmethod
    def of(cls, patient: ArrayLike, label: ArrayLike, score: ArrayLike) -> "Cohort":
        """From arrays (N,), or label and score (N, K). SettingError where they do not fit each other."""
        people, truth, scores = np.asarray(patient).astype(str), *(np.asarray(x, np.float64) for x in (label, score))
        if people.ndim != 1 or truth.shape != scores.shape or truth.shape[:1] != people.shape or truth.ndim > 2:
            shapes = f"{people.shape}, {truth.shape} and {scores.shape}"
            raise SettingError(f"patient, label and score have shapes {shapes}, not (N,), (N, K) and (N, K)")
        columns = (truth.reshape(len(people), -1), scores.reshape(len(people), -1))
        order = np.lexsort((*np.nan_to_num(columns[0], nan=-1).T[::-1], people))
        return cls(people[order], columns[0][order], columns[1][order])

    def only(self, patients: ArrayLike) -> "Cohort":
        """The images of these patients."""
        kept = np.isin(self.patient, np.asarray(patients))
        return Cohort(self.patient[kept], self.label[kept], self.score[kept])

    def beside(self, other: "Cohort") -> "Cohort":
        """Both, each as rankings of its own: how folds become one cohort."""
        label, score = (
            np.block([[x, np.full((len(x), y.shape[1]), np.nan)], [np.full((len(y), x.shape[1]), np.nan), y]])
            for x, y in ((self.label, other.label), (self.score, other.score))
        )
        return Cohort.of(np.concatenate((self.patient, other.patient)), label, score)

    def value(self, statistic: str) -> float:
        """AUC (`auc`) or average precision (`ap`), the mean over rankings that have positives and negatives."""
        rankings = _rankings(self.label, self.score, np.arange(len(self.label)), statistic)
        return float(rankings(np.ones((1, len(self.label))))[0])


def common(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """The same cohorts with the patients that all of them have. SettingError where their labels differ, or there is none."""
    patients = reduce(np.intersect1d, [cohort.patient for cohort in cohorts])
    if not len(patients):
        raise SettingError("there is no common patient", remedy="Measure both on the same patients.")
    found = [cohort.only(patients) for cohort in cohorts]
    if any(not np.array_equal(c.patient, found[0].patient) for c in found[1:]) or any(
        not np.array_equal(c.label, found[0].label, equal_nan=True) for c in found[1:]
    ):
        raise SettingError("the same patients have other images or labels", remedy="Measure both on the same labels.")
    return found


def bootstrap(
    a: Sequence[Cohort],
    b: Sequence[Cohort],
    statistic: str,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """Value of a less that of b, each a sequence of repetitions (seeds), with its percentile interval over patients.

    Patients are drawn whole, the same for a and b. With several repetitions, as many on both sides, these are drawn too, as
    in `hierarchical`; where the sides have not as many, their means are compared and patients alone are drawn. Resamples
    without a positive or a negative are left out; the note says how many, where it is more than 1 %.
    """
    sides, who, n = _sides(a, b)
    values = [[_rankings(c.label, c.score, who, statistic) for c in side] for side in sides]
    paired = len(a) == len(b) > 1

    def difference(patients: Array, drawn: Array | None = None) -> Array:
        of_a, of_b = (np.stack([one(patients) for one in side], axis=1) for side in values)
        return np.asarray(of_a.mean(1) - of_b.mean(1) if drawn is None else ((of_a - of_b) * drawn).sum(1))

    def resample(size: int) -> Array:
        seeds = rng.multinomial(len(a), np.full(len(a), 1 / len(a)), size) / len(a) if paired else None
        return difference(_draws(size, n, rng), seeds)

    found = float(difference(np.ones((1, n)))[0])
    means = _in_batches(resample, resamples, len(who))
    known = means[np.isfinite(means)]
    if n == 1 or not len(known):
        return Interval(found, np.nan, np.nan, n, "too few patients: no interval")
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    lost = 1 - len(known) / len(means)
    note = f"{lost:.0%} of resamples lacked a positive or a negative" if lost > 0.01 else ""
    return Interval(found, float(low), float(high), n, note)


def exchange(
    a: Sequence[Cohort], b: Sequence[Cohort], statistic: str, rng: np.random.Generator, *, resamples: int = 9999
) -> float:
    """p of the paired permutation test: were a and b alike, they could exchange their scores of any patient.

    Scores become ranks within each model first, which changes neither value, or they could not be mixed (Bandos, Rockette
    and Gur 2005, doi:10.1002/sim.2149). Repetition i of a is paired with i of b; SettingError where there are not as many.
    """
    if len(a) != len(b):
        raise SettingError(f"{len(a)} and {len(b)} repetitions cannot be paired")
    (first, second), who, n = _sides(a, b)
    double = np.concatenate((who, who + n))  # the scores of a, then those of b
    values = [
        _rankings(np.concatenate((x.label, y.label)), np.concatenate((_ranks(x), _ranks(y))), double, statistic)
        for x, y in zip(first, second, strict=True)
    ]

    def difference(swapped: Array) -> Array:
        of_a = np.concatenate((1 - swapped, swapped), axis=1)
        return np.asarray(np.mean([one(of_a) - one(1 - of_a) for one in values], axis=0))

    seen = abs(float(difference(np.zeros((1, n)))[0]))
    null = _in_batches(lambda size: difference(rng.integers(0, 2, (size, n)).astype(float)), resamples, len(double))
    null = null[np.isfinite(null)]
    return float((np.sum(np.abs(null) >= seen - 1e-12) + 1) / (len(null) + 1))


def _sides(a: Sequence[Cohort], b: Sequence[Cohort]) -> tuple[tuple[list[Cohort], list[Cohort]], Indices, int]:
    """Both, with their common patients alone; the patient of each image as a number (N,); how many patients."""
    found = common([*a, *b])
    everyone, who = np.unique(found[0].patient, return_inverse=True)
    return (found[: len(a)], found[len(a) :]), who, len(everyone)


def _rankings(label: Array, score: Array, who: Indices, statistic: str) -> Callable[[Array], Array]:
    """(N, K) labels and scores of the patients who (N,) -> a function of weights (R, P) that gives (R,) mean values."""
    found = []
    for truth, scores in zip(label.T, score.T, strict=True):
        known = np.flatnonzero(np.isfinite(truth))
        if np.isfinite(value(statistic, truth[known], scores[known])):
            found.append((who[known], weighted(statistic, truth[known], scores[known])))
    if not found:
        raise SettingError("no class has both positives and negatives", remedy="Measure on more patients.")
    return lambda weights: np.asarray(np.mean([curve(weights[:, index]) for index, curve in found], axis=0))


def _ranks(cohort: Cohort) -> Array:
    """Scores (N, K) as ranks within each ranking."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.where(np.isnan(cohort.label), np.inf, cohort.score), axis=0), np.float64)


def _draws(size: int, n: int, rng: np.random.Generator) -> Array:
    """(size, n) how often each of n patients is drawn, n times with replacement."""
    drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _in_batches(draw: Callable[[int], Array], resamples: int, images: int) -> Array:
    size = max(1, BATCH // images)
    return np.concatenate([draw(min(size, resamples - start)) for start in range(0, resamples, size)])
