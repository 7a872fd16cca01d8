"""What is asked of an encoder, masks or classes, and the rows that say how well it was answered."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import DataError
from vesalius.evaluate.metrics import DISTANCES, OVERLAPS, largest_parts, measured
from vesalius.evaluate.outcome import Outcome
from vesalius.features.subjects import Subject
from vesalius.progress import say
from vesalius.results import Row

Saver = Callable[[str, Mapping[str, NDArray[Any]]], str]  # name, arrays -> the path that a row names
METRICS = (*OVERLAPS, *DISTANCES)
SHOWN = 256  # px: the longer side of a kept picture, at most


@dataclass(frozen=True)
class Masks:
    """Structures that may overlap, each its own yes or no at 0.5. metrics: of METRICS, per patient, in the prepared image.

    tolerance: of surface Dice, mm (voxels where the file does not say how large one is). cases: keep a picture of every
    test patient of the first draw, so that a report can show the worst. empty: see `metrics.measured`. largest: of what was
    found, the largest connected part of each structure alone.
    """

    names: tuple[str, ...]
    metrics: tuple[str, ...] = ("dice", "iou")
    tolerance: float = 2.0
    cases: bool = False
    empty: bool = False
    largest: bool = False

    def rows(self, outcome: Outcome, test: Sequence[Subject], about: Row, save: Saver) -> Iterator[Row]:
        """Of one training: each metric of each patient and structure, empty against empty left out."""
        for subject, probabilities in zip(test, outcome.predictions, strict=True):
            common = [i for i, name in enumerate(self.names) if name in subject.structures]
            names = [self.names[i] for i in common]
            found, truth = probabilities[common] > 0.5, subject.mask[[subject.structures.index(name) for name in names]]
            if self.largest:
                found = largest_parts(found)
            mine = replace(about, patient=subject.patient, parameters=outcome.parameters, space="standard")
            values = measured(found, truth, names, self.metrics, self.tolerance, subject.spacing, self.empty)
            for (metric, name), value in values.items():
                unit = ("px" if subject.spacing is None else "mm") if metric == "hd95" else ""
                yield replace(mine, name=metric, structure=name, value=value, unit=unit)
            dice = [value for (metric, _), value in values.items() if metric == "dice"]
            if self.cases and about.draw == 0 and dice:
                label = "-".join(["case", about.measure, about.run, str(about.shots), str(about.fold or 0), subject.id])
                artefact = save(label, picture(subject, found, truth, names))
                yield replace(mine, name="case", value=float(np.mean(dice)), artefact=artefact)


@dataclass(frozen=True)
class Classes:
    """Classes that an image has or has not; NaN leaves it out of that class. AUC and average precision of the cohort."""

    names: tuple[str, ...]

    def rows(self, outcome: Outcome, test: Sequence[Subject], about: Row, save: Saver) -> Iterator[Row]:
        """Of one training: the two of each class, and the scores beside, so that runs can be compared patient by patient.

        A class that the training could not learn has NaN for scores and gives no row. DataError: that of `check`.
        """
        self.check(test, about.data)
        from sklearn.metrics import average_precision_score, roc_auc_score  # heavy: not at import

        scores = np.stack(list(outcome.predictions)).astype(np.float64)
        people = np.array([subject.patient for subject in test])
        for name, score in zip(self.names, scores.T, strict=True):
            truth = hard(test, name)
            shown = np.isfinite(truth)
            if not np.isfinite(score).all():
                say(
                    f"warning: {name!r} has one value among the {about.shots or 'all'} labelled patients of draw {about.draw}"
                )
                continue
            label = "-".join([about.measure, about.run, name, str(about.shots), str(about.draw), str(about.fold or 0)])
            arrays = {"patient": people[shown], "label": truth[shown], "score": score[shown]}
            mine = replace(about, structure=name, parameters=outcome.parameters, artefact=save(label, arrays))
            for metric, value in (("auc", roc_auc_score), ("ap", average_precision_score)):
                yield replace(mine, name=metric, value=float(value(truth[shown], score[shown])))

    def check(self, test: Sequence[Subject], data: str) -> None:
        """DataError: a class of which the test has one value alone, or none."""
        if single := [name for name in self.names if not {0.0, 1.0} <= set(hard(test, name).tolist())]:
            reason = f"class {single[0]!r} has one value among those to test on"
            others = shlex.join(name for name in self.names if name not in single)
            remedy = f"Give --classes {others}" if others else "Choose other --classes"
            more = f", and so have {', '.join(map(repr, single[1:]))}" if single[1:] else ""
            raise DataError(reason + more, file=data or None, remedy=f"{remedy}, or, with --folds, fewer of them.")


def hard(subjects: Sequence[Subject], name: str) -> NDArray[np.float64]:
    """(N,) labels of a class: 1, 0, or NaN where unknown. Uncertain ones, between 0 and 1, are learned but not measured."""
    labels = np.array([subject.classes.get(name, np.nan) for subject in subjects], np.float64)
    return np.where((labels == 0) | (labels == 1), labels, np.nan)


def picture(
    subject: Subject, found: NDArray[np.bool_], truth: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """image (H, W) uint8, truth and found (K, H, W), structures (K,): every n-th pixel, at most SHOWN a side; of a volume
    the slice across the last axis that shows most of the truth."""
    image = np.asarray(subject.image[0])
    if image.ndim == 3:
        at = int(truth.sum((0, 1, 2)).argmax())
        image, found, truth = (np.swapaxes(array[..., at], -1, -2)[..., ::-1, :] for array in (image, found, truth))
    every = -(-max(image.shape) // SHOWN)
    small = [array[..., ::every, ::every] for array in (image, truth, found)]
    grey = (255 * np.clip(small[0], 0, 1)).round().astype(np.uint8)
    return {"image": grey, "truth": small[1], "found": small[2], "structures": np.array(names)}


def task_of(
    subjects: Sequence[Subject], structures: Sequence[str], classes: Sequence[str], file: str, **masks: Any
) -> Masks | Classes:
    """Masks where structures are asked for, or where there are any; else classes. DataError: there is neither."""
    known = dict.fromkeys(name for subject in subjects for name in subject.structures)
    labels = dict.fromkeys(name for subject in subjects for name in subject.classes)
    if structures or (known and not classes):
        _check(structures, known, "image has a mask of", "Structures", file)
        return Masks(tuple(structures) or tuple(known), **masks)
    if not labels:
        raise DataError("has neither masks nor classes", file=file, remedy="Give labels, such as ?masks= or a table.")
    _check(classes, labels, "image is labelled for", "Classes", file)
    return Classes(tuple(classes) or tuple(labels))


def _check(asked: Sequence[str], known: Mapping[str, None], what: str, title: str, file: str) -> None:
    if missing := [name for name in asked if name not in known]:
        remedy = f"{title}: {', '.join(known) or 'none'}."
        raise DataError(f"no {what} {missing[0]!r}", file=file, remedy=remedy)
