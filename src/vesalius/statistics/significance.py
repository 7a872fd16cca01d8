"""Is a difference more than chance? Paired tests over patients, the t-test over runs, Holm's correction, effect sizes.

Tests are two-sided and scipy's. They say whether there is a difference; effect sizes and intervals say how large it is.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.errors import SettingError
from vesalius.statistics.intervals import Interval

Array = NDArray[np.float64]
BATCH = 4_000_000  # numbers of resamples held at a time: 32 MB


def permutation(differences: ArrayLike, rng: np.random.Generator, *, resamples: int = 9999) -> float:
    """(P,) a - b of each patient -> p of the paired permutation test of the mean.

    Were a and b alike, each difference could as well have the other sign (Fisher 1935). Exact where all 2^P sign changes
    are at most `resamples`; else of random ones, the one that was found counted among them, so that p is never 0. Of one
    patient it is 1.
    """
    from scipy import stats

    found = _differences(differences)
    if len(found) == 1:
        return 1.0
    test: Any = stats.permutation_test(
        (found,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=max(1, BATCH // (2 * len(found))),
        vectorized=True,
        rng=rng,
    )
    return float(test.pvalue)


def wilcoxon(differences: ArrayLike) -> float:
    """(P,) a - b of each patient -> p of Wilcoxon's signed-rank test (1945); patients without a difference are left out.

    Exact up to 50 patients without ties, as scipy decides. 1.0 where no patient differs.
    """
    from scipy import stats

    found = _differences(differences)
    return float(stats.wilcoxon(found).pvalue) if found.any() else 1.0


def t_test(a: ArrayLike, b: ArrayLike, *, equal_variances: bool = True) -> float:
    """(R,) and (S,) means of independent runs -> p of the two-sample t-test, Student's as the papers report it, or Welch's.

    It speaks of other seeds on *these* test patients. NaN with a single run on a side, and where nothing varies.
    """
    from scipy import stats

    first, second = _differences(a), _differences(b)
    if min(len(first), len(second)) < 2 or not (_varies(first) or _varies(second)):
        return float("nan")
    (mean, deviation, n), (mean2, deviation2, n2) = ((x.mean(), x.std(ddof=1), len(x)) for x in (first, second))
    # not ttest_ind, which warns where one side alone is constant
    test: Any = stats.ttest_ind_from_stats(mean, deviation, n, mean2, deviation2, n2, equal_var=equal_variances)
    return float(test.pvalue)


def t_interval(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Interval:
    """(R,) and (S,) means of independent runs -> mean of a less that of b, with Student's interval; its n is 0 patients.

    The ends are NaN where `t_test` has no p.
    """
    from scipy import stats

    first, second = _differences(a), _differences(b)
    difference = float(first.mean() - second.mean())
    if math.isnan(t_test(first, second)):
        return Interval(difference, math.nan, math.nan, 0, "no interval: too few runs, or all alike")
    freedom = len(first) + len(second) - 2
    pooled = (first.var() * len(first) + second.var() * len(second)) / freedom
    deviation = math.sqrt(pooled * (1 / len(first) + 1 / len(second)))
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * deviation
    return Interval(difference, difference - reach, difference + reach, 0)


def holm(p: ArrayLike) -> Array:
    """(M,) p of a family -> (M,) corrected: the chance of even one false verdict stays below alpha (Holm 1979).

    The i-th smallest of m counts m - i + 1 fold, and at least as much as those before it. NaN stays NaN, and is no member.
    """
    given = np.asarray(p, np.float64)
    corrected = np.full(given.shape, np.nan)
    members = np.flatnonzero(np.isfinite(given))
    order = members[np.argsort(given[members], kind="stable")]
    corrected[order] = np.minimum(1, np.maximum.accumulate(given[order] * np.arange(len(order), 0, -1)))
    return corrected


def cohens_d(differences: ArrayLike) -> float:
    """(P,) a - b of each patient -> d_z, their mean over their deviation (Cohen 1988). 0.2 small, 0.5 medium, 0.8 large.

    NaN for one patient, and where all differ by the same.
    """
    found = _differences(differences)
    return float(found.mean() / found.std(ddof=1)) if _varies(found) else float("nan")


def superiority(differences: ArrayLike) -> float:
    """(P,) a - b of each patient -> share of patients for whom a is larger, equal ones as half (Grissom and Kim 2012)."""
    found = _differences(differences)
    return float(np.mean(found > 0) + np.mean(found == 0) / 2)


def _varies(values: Array) -> bool:
    """More than by rounding."""
    return len(values) > 1 and bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def _differences(values: ArrayLike) -> Array:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise SettingError(f"numbers of shape {found.shape} are empty, not finite or not of 1 axis")
    return found
