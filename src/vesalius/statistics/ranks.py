"""Several models at once: mean ranks, Friedman's test, and Nemenyi's critical difference.

Demsar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7:1-30. Blocks are what is independent:
data sets there, patients where one task is looked at.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.errors import SettingError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Mean rank of each model (1 is best), over n blocks; Friedman's p; ranks nearer than `critical` are not told apart."""

    names: tuple[str, ...]
    means: tuple[float, ...]
    n: int
    p: float
    critical: float

    def cliques(self) -> list[tuple[str, ...]]:
        """Largest groups, best first, of neighbours in rank that are not told apart; a model alone is no group."""
        order = sorted(range(len(self.names)), key=lambda i: self.means[i])
        means = [self.means[i] for i in order]
        ends = [max(j for j, mean in enumerate(means) if mean - first <= self.critical) for first in means]
        starts = [0, *(i for i, (before, end) in enumerate(pairwise(ends), 1) if end > before)]
        return [tuple(self.names[k] for k in order[i : ends[i] + 1]) for i in starts if ends[i] > i]


def ranks(names: tuple[str, ...], scores: ArrayLike, *, lower_is_better: bool = False, alpha: float = 0.05) -> Ranks:
    """(N, k) scores of k models on N blocks -> their ranks; ties share the mean rank.

    Friedman's p is the chi-square one of scipy, 1.0 where all are tied in all blocks. SettingError below 3 models.
    """
    from scipy import stats

    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or table.shape[1] != len(names) or table.shape[1] < 3 or not np.isfinite(table).all():
        raise SettingError(f"ranks need finite scores (blocks, models) of 3 models or more, not {table.shape}")
    n, k = table.shape
    if not n:
        raise SettingError("ranks need a block", remedy="Measure all models on the same patients.")
    placed = stats.rankdata(table if lower_is_better else -table, axis=1)
    friedman: Any = stats.friedmanchisquare(*table.T) if np.ptp(placed) else None
    return Ranks(
        names, tuple(placed.mean(0).tolist()), n, float(friedman.pvalue) if friedman else 1.0, critical(k, n, alpha)
    )


def critical(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks of k models over n blocks: q sqrt(k (k + 1) / 6 n)."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))
