"""The claims of Adam's paper as named checks: each ends in a verdict with n, and names the control that it fails against.

A check holds where the run beats *every* control that it is held against: the paired difference over patients lies above 0
with its whole interval, whose level is 1 - 0.05 / k for k comparisons (Bonferroni). "Not shown" is not "shown not".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from vesalius.report.folders import Study
from vesalius.report.measures import CONTROLS
from vesalius.report.tables import Quantity
from vesalius.statistics import Interval

SHOWN, NOT_SHOWN, NOT_MEASURED = "shown", "not shown", "not measured"
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Claim:
    """What is claimed, and the number and controls that decide. above_zero: the number itself must exceed 0, too."""

    title: str
    says: str
    what: Quantity
    controls: tuple[str, ...] = CONTROLS
    above_zero: bool = False
    upright: Quantity | None = None  # the drop from it to `what` is told beside the verdict

    @property
    def level(self) -> float:
        """Of the interval of one comparison."""
        return 1 - ALPHA / (len(self.controls) + self.above_zero)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One comparison: the run's advantage over `against` ("0" for the number itself); above 0 is better."""

    against: str
    found: Interval | None

    @property
    def holds(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.found is not None and self.found.low > 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim held against one run."""

    claim: Claim
    run: str
    value: Interval | None
    evidence: tuple[Evidence, ...]
    drop: Interval | None

    @property
    def verdict(self) -> str:
        """shown, not shown, or not measured."""
        if self.value is None:
            return NOT_MEASURED
        return SHOWN if all(one.holds for one in self.evidence) else NOT_SHOWN

    @property
    def fails(self) -> tuple[str, ...]:
        """What it is not shown to beat."""
        return tuple(one.against for one in self.evidence if not one.holds)

    @property
    def n(self) -> int:
        """Patients; the fewest of all its comparisons."""
        counts = [found.n for found in (self.value, *(one.found for one in self.evidence)) if found is not None]
        return min(counts, default=0)


CLAIMS = (
    Claim(
        "Structures separate",
        "Moved landmark patches are named by their neighbours better than by any control (locality, knn_accuracy, all).",
        Quantity("locality", "knn_accuracy", "all"),
    ),
    Claim(
        "The whole is the sum of its parts",
        "A patch is more like its own 4 parts than like shuffled ones, and goes further from there to 1 than with random "
        "weights or as raw pixels (compositionality, closed).",
        Quantity("compositionality", "closed", structure="4 parts"),
        controls=("random", "raw_pixels"),
        above_zero=True,
    ),
    Claim(
        "Matches hold across patients",
        "A moved point's best match in another patient lies in the same structures more often than any control's "
        "(correspondence, same_structure_all, all).",
        Quantity("correspondence", "same_structure_all", "all"),
    ),
    Claim(
        "No need of alignment",
        "With one annotated image, landmarks of moved images are found more often than by any control "
        "(landmarks, within_5, all).",
        Quantity("landmarks", "within_5", "all", shots=1),
        upright=Quantity("landmarks", "within_5", "upright", shots=1),
    ),
)


def findings(study: Study, claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """Every claim held against every run that is no control."""
    return [_finding(study, claim, run) for claim in claims for run in study.measured]


def _finding(study: Study, claim: Claim, run: str) -> Finding:
    scores, what = study.scores, claim.what
    evidence = [Evidence("0", scores.interval(run, what, claim.level))] if claim.above_zero else []
    for name in claim.controls:
        control = study.control(run, name)
        found = scores.advantage(run, control, what, claim.level) if control else None
        evidence.append(Evidence(control or name, found))
    drop = scores.between(run, claim.upright, what) if claim.upright else None
    return Finding(claim, run, scores.interval(run, what), tuple(evidence), drop)


@dataclass(frozen=True, slots=True)
class Duel:
    """Two runs and one number: the advantage of the first over the second, and what it says of the first."""

    first: str
    second: str
    what: Quantity
    found: Interval | None

    @property
    def verdict(self) -> str:
        """better, worse, no difference shown, or no common patients."""
        if self.found is None:
            return "no common patients"
        return "better" if self.found.low > 0 else "worse" if self.found.high < 0 else "no difference shown"


def duels(study: Study, what: Sequence[Quantity]) -> list[Duel]:
    """Each pair of runs that are no controls, in each number that both have."""
    scores = study.scores
    return [
        Duel(a, b, one, scores.advantage(a, b, one))
        for a, b in combinations(study.measured, 2)
        for one in what
        if scores.of(a, one) and scores.of(b, one)
    ]
