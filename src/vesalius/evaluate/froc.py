"""Lesions found against false alarms: the free-response ROC, and its mean at seven rates (CPM).

As the LUNA16 challenge measures (luna16.grand-challenge.org/Evaluation): marks are places in scans with a score. At a
threshold, the sensitivity is the share of all lesions, those without a mark too, that hold a mark of at least that score; the
false positives are the marks in no lesion of at least that score, a scan. The points of all thresholds are joined by lines,
the first to (0, 0); beyond the last the sensitivity stays. CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false
positives a scan (Niemeijer et al., TMI 2011). Several marks in one lesion find it once. Scans, not marks, are resampled.

The scans are those that hold a mark. What counts for nothing, such as the challenge's irrelevant findings, is left out of
the marks. Where only some of the marks in no lesion are scored there is no CPM: with one in 240, say, the first false positive
counts as one a scan already, and of the sensitivity at 1/8 nothing is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vesalius.chance import generator
from vesalius.data.cache import default_root, key_hash, salt_of
from vesalius.data.datasets import Dataset, Part
from vesalius.errors import SettingError
from vesalius.evaluate.outcome import Outcome
from vesalius.features.subjects import Subject
from vesalius.progress import say
from vesalius.results import Row
from vesalius.statistics import Interval

Array = NDArray[np.float64]
RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)  # false positives a scan


@runtime_checkable
class Marked(Protocol):
    """A data set whose images may be marks in scans; its patients are the scans."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every mark there is."""
        ...

    @property
    def cubes(self) -> bool:
        """Whether they are: images that are cut out of scans, each round a mark."""
        ...

    def lesions(self, scan: str, /) -> int:
        """How many lesions a scan holds."""
        ...

    def patient(self, id: str, /) -> str:
        """The scan of a mark."""
        ...

    def lesion(self, id: str, /) -> int | None:
        """Which lesion of its scan a mark is in; None for none."""
        ...

    def complete(self, scan: str, /) -> bool:
        """Whether all marks of a scan are there."""
        ...


@dataclass(frozen=True, eq=False)
class Marks:
    """M marks in N scans that hold L lesions. score (M,); scan (M,) 0 to N - 1; lesion (M,) 0 to L - 1, or -1; of (L,)
    the scan of each lesion. SettingError: no lesion, or scores that are not finite."""

    score: Array
    scan: NDArray[np.int64]
    lesion: NDArray[np.int64]
    of: NDArray[np.int64]
    scans: int

    def __post_init__(self) -> None:
        if not len(self.of) or not np.isfinite(self.score).all():
            reason = (
                f"{len(self.of)} lesions and {len(self.score)} marks, whose scores are not all finite or find nothing"
            )
            raise SettingError(reason, remedy="Sensitivity needs a lesion and finite scores.")


def marks_of(data: Marked, ids: Sequence[str], scores: Sequence[float]) -> Marks:
    """Marks called `ids` with their scores; the scans are those with a mark among them. Errors: those of `Marks`."""
    scans = {scan: n for n, scan in enumerate(sorted({data.patient(id) for id in ids}))}
    counts = [data.lesions(scan) for scan in scans]
    first = dict(zip(scans, np.cumsum([0, *counts])[:-1].tolist(), strict=True))  # number of each scan's first lesion
    found = [(data.patient(id), data.lesion(id)) for id in ids]
    return Marks(
        np.asarray(scores, np.float64),
        np.array([scans[scan] for scan, _ in found], np.int64),
        np.array([-1 if lesion is None else first[scan] + lesion for scan, lesion in found], np.int64),
        np.repeat(np.arange(len(scans)), counts),
        len(scans),
    )


def sensitivity(marks: Marks, rates: Sequence[float] = RATES, weights: Array | None = None) -> Array:
    """(R, len(rates)) sensitivity at so many false positives a scan; weights: (R, N) of the scans, by default (1, N) ones.

    NaN where a weighting leaves no lesion.
    """
    alone, best = marks.lesion < 0, np.full(len(marks.of), -np.inf)
    np.maximum.at(best, marks.lesion[~alone], marks.score[~alone])
    hit = np.isfinite(best)
    score, scan = np.concatenate([marks.score[alone], best[hit]]), np.concatenate([marks.scan[alone], marks.of[hit]])
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(
        np.diff(score[order], append=np.nan)
    )  # of each distinct score: marks of one score come together
    scan, true = scan[order], order >= alone.sum()
    rows = np.ones((1, marks.scans)) if weights is None else weights
    found = np.full((len(rows), len(rates)), np.nan)
    for row, own in zip(found, rows, strict=True):
        if (everything := own[marks.of].sum()) > 0:
            x, y = (np.cumsum(own[scan] * kind)[last] for kind in (~true, true))
            row[:] = _at(np.append(0, x) / own.sum(), np.append(0, y) / everything, np.asarray(rates))
    return found


def _at(x: Array, y: Array, rates: Array) -> Array:
    """The broken line through (x, y), x ascending, at `rates`; its upper end where it is vertical."""
    before = np.searchsorted(x, rates, side="right") - 1
    after = np.minimum(before + 1, len(x) - 1)
    width = x[after] - x[before]
    share = np.divide(rates - x[before], width, out=np.zeros(len(rates)), where=width > 0)
    return np.asarray(y[before] + share * (y[after] - y[before]))


def cpm(marks: Marks, rates: Sequence[float] = RATES) -> float:
    """The mean sensitivity over `rates`."""
    return float(sensitivity(marks, rates).mean())


def interval(
    marks: Marks,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    rates: Sequence[float] = RATES,
) -> Interval:
    """CPM with its percentile interval over resampled scans (the challenge: 1000). One scan alone has none: NaN."""
    value = cpm(marks, rates)
    if marks.scans == 1:
        return Interval(value, np.nan, np.nan, 1, "one scan: no interval")
    drawn = rng.multinomial(marks.scans, np.full(marks.scans, 1 / marks.scans), resamples).astype(np.float64)
    means = sensitivity(marks, rates, drawn).mean(1)
    low, high = np.nanquantile(means, ((1 - level) / 2, (1 + level) / 2))
    return Interval(value, float(low), float(high), marks.scans)


def marked(data: Dataset) -> Marked | None:
    """`data` where its images are marks in scans."""
    whole = data.whole if isinstance(data, Part) else data  # a part has what the whole has, but its class does not
    return cast(Marked, data) if isinstance(whole, Marked) and whole.cubes else None


def check(data: Marked, test: Sequence[Subject]) -> bool:
    """Whether `rows` will have a CPM, asked before the training; it is said why not. Errors: those of the data set, `Marks`."""
    ids = _names(data, test)
    if thinned := {scan for id in ids if not data.complete(scan := data.patient(id))}:
        say(f"no CPM: of {len(thinned)} test scans not all marks are there (luna16: negatives=0, or test_negatives=0)")
        return False
    marks_of(data, ids, [0.0] * len(ids))
    return True


def rows(data: Marked, outcome: Outcome, test: Sequence[Subject], about: Row) -> Iterator[Row]:
    """CPM of one training of one class, with the ends of its 95 % interval over scans; none where it could not learn it."""
    scores = [float(score[0]) for score in outcome.predictions]
    if np.isfinite(scores).all():
        marks = marks_of(data, _names(data, test), scores)
        found, mine = interval(marks, generator(about.seed or 0)), replace(about, parameters=outcome.parameters)
        for name, value in (("cpm", found.value), ("cpm_low", found.low), ("cpm_high", found.high)):
            if np.isfinite(value):
                yield replace(mine, name=name, value=value)


def _names(data: Marked, test: Sequence[Subject]) -> list[str]:
    """Ids of `test`, which knows their hashes."""
    salt = salt_of(default_root())
    names = {key_hash(salt, id): id for id in data.ids}
    return [names[subject.id] for subject in test]
