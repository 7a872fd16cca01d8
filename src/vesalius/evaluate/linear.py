"""Linear probing for classes: logistic regression on frozen features, one classifier a class; AUC and average precision.

The encoder's pooled features (mean over space of the coarsest level) are computed once; the regression's strength is chosen
by cross-validation over the training patients alone. A label that is NaN leaves the image out of that class, in training and
in testing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius import features
from vesalius.chance import generator
from vesalius.data.splits import few_shot
from vesalius.errors import DataError, SettingError
from vesalius.evaluate.segmentation import resized
from vesalius.features.subjects import Subject
from vesalius.results import Row

Array = NDArray[np.float64]
Saver = Callable[[str, Mapping[str, NDArray[Any]]], str]  # name, arrays -> the path that a row names
STRENGTHS = np.logspace(-4, 2, 7)  # of C, the inverse of the penalty


@dataclass(frozen=True)
class Config:
    """size: side at which the network sees images, px. shares: of the training patients that are labelled; all of their
    images count. draws: of these patients (one, where all are labelled)."""

    size: int = 224
    shares: tuple[float, ...] = (0.01, 0.1, 1.0)
    draws: int = 5
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise SettingError(f"setting shares is {self.shares}", remedy="Shares of the patients, above 0, up to 1.")


def rows(
    run: str,
    backbone: Any,
    pool: Sequence[Subject],
    test: Sequence[Subject],
    classes: Sequence[str],
    config: Config,
    save: Saver,
    *,
    done: Collection[tuple[int, int]] = (),
) -> Iterator[list[Row]]:
    """Of every share and draw, AUC and average precision of each class. done: (patients labelled, draw) measured before."""
    known, asked = (vectors(backbone, some, config) for some in (pool, test))
    of = {subject.id: i for i, subject in enumerate(pool)}
    patients = np.array([subject.patient for subject in pool])
    everyone = len(set(patients.tolist()))
    for draw in range(config.draws):
        counts = {share: max(2, round(share * everyone)) for share in config.shares}
        chosen = few_shot(list(of), lambda id: patients[of[id]], counts.values(), draw, config.seed)
        for share, n in counts.items():
            if (n, draw) in done or (share == 1 and draw > 0):  # all patients are one draw only
                continue
            people = {patients[of[id]] for id in chosen[n]}
            mine = np.array([patient in people for patient in patients])
            yield [
                row
                for name in classes
                for row in _of_class(run, name, known[mine], pool, mine, asked, test, config, save, n, draw)
            ]


def vectors(backbone: Any, subjects: Sequence[Subject], config: Config) -> Array:
    """(N, D): pooled features of whole images at `config.size`."""
    found = []
    for start in range(0, len(subjects), config.batch):
        images = torch.stack([resized(s.image, config.size) for s in subjects[start : start + config.batch]])
        found.append(features.pooled(backbone, images, config.batch))
    return np.asarray(torch.cat(found).double().numpy())


def _of_class(
    run: str,
    name: str,
    known: Array,
    pool: Sequence[Subject],
    mine: NDArray[np.bool_],
    asked: Array,
    test: Sequence[Subject],
    config: Config,
    save: Saver,
    n: int,
    draw: int,
) -> Iterator[Row]:
    from sklearn.metrics import average_precision_score, roc_auc_score  # heavy: not at import

    truth = np.array([subject.classes.get(name, np.nan) for subject, own in zip(pool, mine, strict=True) if own])
    groups = np.array([subject.patient for subject, own in zip(pool, mine, strict=True) if own])
    labelled = np.isfinite(truth)
    target = np.array([subject.classes.get(name, np.nan) for subject in test])
    shown = np.isfinite(target)
    about: dict[str, Any] = {
        "run": run,
        "structure": name,
        "shots": n,
        "draw": draw,
        "seed": config.seed,
        "measure": "linear",
    }
    if len(set(truth[labelled])) < 2:  # a class absent from a draw of few patients cannot be learned
        return
    if len(set(target[shown])) < 2:
        raise DataError(f"class {name!r} has one value in the test split", remedy="Choose other --classes.")
    score = fit(known[labelled], truth[labelled], groups[labelled], asked[shown], config.seed)
    people = np.array([subject.patient for subject in test])[shown]
    artefact = save(f"linear-{run}-{name}-{n}-{draw}", {"patient": people, "label": target[shown], "score": score})
    parameters = known.shape[1] + 1
    for metric, value in (("auc", roc_auc_score), ("ap", average_precision_score)):
        yield Row(
            name=metric, value=float(value(target[shown], score)), artefact=artefact, parameters=parameters, **about
        )


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
