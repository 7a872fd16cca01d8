"""AUC and average precision with weights: one sort, then as many weightings as wanted. Bootstrap and exchange are weights.

To draw a patient twice is to give all of the patient's images the weight 2; to exchange two models' scores of a patient is
to give one's entries the weight 0 and the other's 1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.errors import SettingError

Array = NDArray[np.float64]
Weighted = Callable[[Array], Array]


def weighted(statistic: str, label: ArrayLike, score: ArrayLike) -> Weighted:
    """Labels (M,) of 0 and 1, scores (M,) -> a function of weights (R, M) that gives the (R,) values.

    statistic: `auc`, the chance that a positive ranks above a negative, ties as half (Mann and Whitney 1947); or `ap`, the
    precision at each score averaged over the recall it adds, without interpolation. NaN where a weighting leaves no
    positive, or, for `auc`, no negative.
    """
    if statistic not in _STATISTICS:
        raise SettingError(f"unknown statistic {statistic!r}", remedy=f"There are {', '.join(_STATISTICS)}.")
    truth, scores = np.asarray(label, np.float64), np.asarray(score, np.float64)
    if not np.isfinite(scores).all() or not np.isin(truth, (0, 1)).all() or truth.shape != scores.shape:
        raise SettingError("labels are not 0 and 1, or scores are not finite, or there are not as many of both")
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))  # of each distinct score, from the highest
    positive = truth[order] == 1

    def values(weights: Array) -> Array:
        sorted_ = np.asarray(weights, np.float64)[:, order]
        tp, fp = np.where(positive, sorted_, 0), np.where(positive, 0, sorted_)
        if len(starts) < len(order):  # ties
            tp, fp = (np.add.reduceat(each, starts, axis=1) for each in (tp, fp))
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as said above
            return _STATISTICS[statistic](tp, fp)

    return values


def value(statistic: str, label: ArrayLike, score: ArrayLike) -> float:
    """`weighted` with all weights 1: labels (M,) and scores (M,) -> AUC or average precision."""
    return float(weighted(statistic, label, score)(np.ones((1, np.size(score))))[0])


def _auc(tp: Array, fp: Array) -> Array:
    """(R, T) weights of positives and negatives at each of T distinct scores, from the highest."""
    negatives = fp.sum(1)
    below = negatives[:, None] - np.cumsum(fp, axis=1) + fp / 2
    return np.asarray((tp * below).sum(1) / (tp.sum(1) * negatives))


def _ap(tp: Array, fp: Array) -> Array:
    hits, shown = np.cumsum(tp, axis=1), np.cumsum(tp + fp, axis=1)
    precision = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
    return np.asarray((tp * precision).sum(1) / tp.sum(1))


_STATISTICS: dict[str, Callable[[Array, Array], Array]] = {"auc": _auc, "ap": _ap}
