"""Linear probing for classes: logistic regression on frozen features, one classifier a class.

The encoder's pooled features (mean over space of the coarsest level) are computed once; the regression's strength is chosen
by cross-validation over the training patients alone. A label that is NaN leaves the image out of that class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius import features
from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.segmentation import resized
from vesalius.features.subjects import Subject

Array = NDArray[np.float64]
STRENGTHS = np.logspace(-4, 2, 7)  # of C, the inverse of the penalty


@dataclass(frozen=True)
class Config:
    """size: side at which the network sees images, px. batch: images of one forward pass."""

    size: int = 224
    batch: int = 32


class Regression:
    """Logistic regressions on features of `backbone`, which are computed here and never again."""

    def __init__(
        self, backbone: Any, pool: Sequence[Subject], test: Sequence[Subject], names: Sequence[str], config: Config
    ) -> None:
        """SettingError: labels between 0 and 1."""
        if soft := [name for name in names if any(0 < s.classes.get(name, np.nan) < 1 for s in pool)]:
            remedy = "Fine-tune, or take uncertain labels for something else: ?uncertain=ignore, zeros or ones."
            raise SettingError(f"{soft[0]} has labels between 0 and 1, which no regression learns", remedy=remedy)
        self.names, self.pool = names, pool
        self.known, self.asked = (vectors(backbone, some, config) for some in (pool, test))
        self.patients = np.array([subject.patient for subject in pool])

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """(K,) log odds of each test subject, from the subjects `own` of the pool; NaN where a class has one value there."""
        scores = np.full((len(self.asked), len(self.names)), np.nan)
        for k, name in enumerate(self.names):
            truth = np.array([self.pool[i].classes.get(name, np.nan) for i in own])
            mine = np.array(own)[np.isfinite(truth)]
            truth = truth[np.isfinite(truth)]
            if len(set(truth)) == 2:
                scores[:, k] = fit(self.known[mine], truth, self.patients[mine], self.asked, seed)
        return Outcome(list(scores.astype(np.float32)), len(self.names) * (self.known.shape[1] + 1))


def vectors(backbone: Any, subjects: Sequence[Subject], config: Config) -> Array:
    """(N, D): pooled features of whole images at `config.size`."""
    found = []
    for start in range(0, len(subjects), config.batch):
        images = torch.stack([resized(s.image, config.size) for s in subjects[start : start + config.batch]])
        found.append(features.pooled(backbone, images, config.batch))
    return np.asarray(torch.cat(found).double().numpy())


def fit(x: Array, y: Array, groups: NDArray[np.str_], asked: Array, seed: int) -> Array:
    """(N, D), (N,) in {0, 1}, (N,) patients, (M, D) -> (M,) log odds; the strength by cross-validated AUC over patients."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def model(strength: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))

    folds = min(5, *(len(set(groups[y == value])) for value in (0, 1)))
    best = 1e-2
    if folds >= 2:
        order = int(generator(seed, 12).integers(2**31))
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=order)
        scores = [cross_val_score(model(c), x, y, groups=groups, cv=split, scoring="roc_auc").mean() for c in STRENGTHS]
        if np.isfinite(scores).any():
            best = float(STRENGTHS[int(np.nanargmax(scores))])
    return np.asarray(model(best).fit(x, y).decision_function(asked))
