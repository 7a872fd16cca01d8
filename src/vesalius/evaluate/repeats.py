"""Which patients are labelled, and how often: so many shots or shares of them, nested, several draws; folds of all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vesalius.chance import generator
from vesalius.data import splits
from vesalius.errors import SettingError
from vesalius.features.subjects import Subject


@dataclass(frozen=True)
class Plan:
    """shots: numbers of labelled patients, one image of each (as few-shot studies count). shares: of the patients, with all
    of their images. Neither: all patients. draws: of these patients, each with another seed (where all are labelled, of the
    seed alone; the papers repeat 10 times). folds: test on each k-th of the patients in turn; 0: on the test split.
    """

    shots: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    draws: int = 10
    folds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(0 < share <= 1 for share in self.shares):
            raise SettingError(f"setting shares is {self.shares}", remedy="Shares of the patients, above 0, up to 1.")
        if self.shots and self.shares:
            raise SettingError("both shots and shares are given", remedy="Give one of them.")
        if self.draws < 1:
            raise SettingError(f"setting draws is {self.draws}", remedy="Give at least 1.")
        if self.folds < 0 or self.folds == 1:
            raise SettingError(f"setting folds is {self.folds}", remedy="Give 2 or more, or 0 for the test split.")


@dataclass(frozen=True)
class Repeat:
    """One training. shots: labelled patients; None: all of a fold, whose number differs by one from that of another fold.
    own: indices into the pool of the images that are labelled."""

    shots: int | None
    draw: int
    seed: int
    own: tuple[int, ...]


def repeats(pool: Sequence[Subject], plan: Plan, *, chance: bool = True, fold: bool = False) -> Iterator[Repeat]:
    """All trainings on `pool`. chance: False for a protocol without any: all patients are then trained on once. fold: the pool
    is that of one of several folds.

    SettingError: more shots than patients.
    """
    patients = numbered(pool)
    everyone = len(set(patients.values()))
    counts = plan.shots or tuple(min(everyone, max(2, round(share * everyone))) for share in plan.shares or (1.0,))
    if max(counts) > everyone:
        raise SettingError(f"{max(counts)} shots of {everyone} patients", remedy="Ask for fewer.")
    for draw in range(plan.draws):
        chosen = splits.few_shot(list(patients), patients.__getitem__, counts, draw, plan.seed)
        seed = int(generator(plan.seed, draw, 9).integers(2**31))
        for n in sorted(set(counts)):
            if n == everyone and draw > 0 and not chance:
                continue
            people = {patients[id] for id in chosen[n]}
            own = chosen[n] if plan.shots else [id for id, patient in patients.items() if patient in people]
            yield Repeat(None if fold and n == everyone else n, draw, seed, tuple(map(int, own)))


def cohorts(
    pool: Sequence[Subject], test: Sequence[Subject], plan: Plan
) -> Iterator[tuple[int | None, list[Subject], list[Subject]]]:
    """(fold, to train on, to measure on): the two as they are, or, in turn, each of K folds of both together."""
    if not plan.folds:
        yield None, list(pool), list(test)
        return
    everyone = (*pool, *test)
    patients = numbered(everyone)
    parts = splits.folds(list(patients), patients.__getitem__, plan.folds, plan.seed)
    for fold, (train, held) in enumerate(parts):
        yield fold, [everyone[int(id)] for id in train], [everyone[int(id)] for id in held]


def numbered(subjects: Sequence[Subject]) -> dict[str, str]:
    """Each one's place, as a name, -> the place of its patient's first: the same on every machine, as hashes are not."""
    first: dict[str, str] = {}
    for place, subject in enumerate(subjects):
        first.setdefault(subject.patient, f"{place:07}")
    return {f"{place:07}": first[subject.patient] for place, subject in enumerate(subjects)}
