"""DeLong's test of two areas under the ROC curve on the same images, in closed form.

DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; by midranks as Sun and Xu 2014, doi:10.1109/LSP.2014.2337313.
Letters as there: m positives X, n negatives Y; V10 and V01 the structural components; S their covariance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.errors import SettingError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DeLong:
    """Areas of a and b, their covariance (2, 2), and of a - b: value, ends of the interval, p (two-sided)."""

    areas: tuple[float, float]
    covariance: Array
    difference: float
    low: float
    high: float
    p: float


def delong(label: ArrayLike, a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> DeLong:
    """Labels (N,) of 0 and 1, scores (N,) of two models -> areas, their difference, its normal interval and p.

    For one image a patient: it takes images as independent. Where the two rank alike, the difference is 0 for sure: p is 1.
    SettingError unless there are two positives and two negatives at least.
    """
    from scipy import stats

    positive, scores = np.asarray(label) == 1, np.array([a, b], np.float64)
    if min(positive.sum(), (~positive).sum()) < 2 or not np.isfinite(scores).all():
        raise SettingError("DeLong's test needs two positives and two negatives at least, and finite scores")
    areas, covariance = _areas(scores[:, positive], scores[:, ~positive])
    difference = float(areas[0] - areas[1])
    deviation = float(np.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])))
    reach = float(stats.norm.ppf((1 + level) / 2)) * deviation
    p = 2 * float(stats.norm.sf(abs(difference) / deviation)) if deviation > 1e-12 else float(abs(difference) < 1e-12)
    return DeLong((float(areas[0]), float(areas[1])), covariance, difference, difference - reach, difference + reach, p)


def _areas(x: Array, y: Array) -> tuple[Array, Array]:
    """(K, m) and (K, n) scores of positives and negatives -> (K,) areas and their covariance (K, K)."""
    from scipy.stats import rankdata

    m, n = x.shape[1], y.shape[1]
    together = rankdata(np.concatenate((x, y), axis=1), axis=1)  # midranks
    v10 = (together[:, :m] - rankdata(x, axis=1)) / n
    v01 = 1 - (together[:, m:] - rankdata(y, axis=1)) / m
    return v10.mean(1), np.cov(v10) / m + np.cov(v01) / n
