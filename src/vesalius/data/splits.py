"""Who is trained on and who is held out: always whole patients, never single images.

Patients are put in an order that depends on the seed and on their own identifier alone (a keyed hash). So a split does
not change with the order of the files, and a cohort that grows keeps nearly everyone where they were.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from vesalius.data.tables import read_list
from vesalius.errors import DataError, SettingError

Ids = tuple[str, ...]
PatientOf = Callable[[str], str]


def official(splits: Mapping[str, Ids], name: str) -> Ids:
    """The ids of a split by its name. SettingError, with the names there are, where there is none."""
    if name not in splits:
        known = ", ".join(splits) or "none; some data sets need an option, such as ?test_list=FILE"
        raise SettingError(f"the data have no split {name!r}", remedy=f"Splits: {known}.")
    return splits[name]


def holdout(ids: Sequence[str], patient_of: PatientOf, fraction: float, seed: int) -> tuple[Ids, Ids]:
    """(kept, held out) with `fraction` of the patients held out, at least one on either side."""
    if not 0 < fraction < 1:
        raise SettingError(f"fraction {fraction} held out", remedy="Give a number between 0 and 1.")
    order = _shuffled(ids, patient_of, 2, seed, "holdout")
    held = set(order[: min(max(round(fraction * len(order)), 1), len(order) - 1)])
    return _part(ids, patient_of, held)


def folds(ids: Sequence[str], patient_of: PatientOf, k: int, seed: int) -> list[tuple[Ids, Ids]]:
    """K pairs (train, held out); every patient is held out once, and folds differ by one patient at most."""
    if k < 2:
        raise SettingError(f"{k} folds", remedy="Give 2 or more.")
    order = _shuffled(ids, patient_of, k, seed, "folds")
    return [_part(ids, patient_of, set(order[i::k])) for i in range(k)]


def few_shot(ids: Sequence[str], patient_of: PatientOf, shots: Iterable[int], draw: int, seed: int) -> dict[int, Ids]:
    """Shots -> ids, one image each of so many patients, nested: the three are among the six. `draw` counts repeats."""
    wanted = sorted(set(shots))
    if not wanted or wanted[0] < 1:
        raise SettingError(f"shots {wanted}", remedy="Give one or more numbers of at least 1.")
    order = _shuffled(ids, patient_of, wanted[-1], seed, f"few-shot {draw}")
    mine: dict[str, list[str]] = {}
    for id in sorted(ids):
        mine.setdefault(patient_of(id), []).append(id)
    chosen = [min(mine[patient], key=_key(seed, f"image {draw}")) for patient in order[: wanted[-1]]]
    return {n: tuple(sorted(chosen[:n])) for n in wanted}


def plain(patient: str) -> str:
    """A patient's name without leading zeros: tables drop them, names of files do not."""
    return patient.lstrip("0") or patient[-1:]


def exclude(ids: Sequence[str], patient_of: PatientOf, listed: Path) -> Ids:
    """Ids of the patients that a text file, one a line, does not list. DataError where the list cannot be meant."""
    names = set(read_list(listed))
    present = {patient_of(id) for id in ids}
    if not names & present:
        reason = "lists no patient of this data set"
        raise DataError(reason, file=listed, remedy="Write patients as the data set does, one a line.")
    zeros = {plain(name) for name in names - present} & {plain(name) for name in present - names}
    if zeros:
        reason = f"{len(zeros):,} patients differ from the data set's only by leading zeros"
        raise DataError(reason, file=listed, remedy="Write patients as the data set does, one a line.")
    kept = tuple(id for id in ids if patient_of(id) not in names)
    if not kept:
        raise DataError("lists every patient: nothing is left", file=listed, remedy="Shorten the list.")
    return kept


def overlaps(splits: Mapping[str, Sequence[str]], patient_of: PatientOf) -> dict[tuple[str, str], Ids]:
    """Pairs of splits that share patients -> ids, in both, of those patients. {} is as it should be."""
    who = {name: {patient_of(id) for id in ids} for name, ids in splits.items()}
    shared = {(a, b): who[a] & who[b] for a, b in combinations(splits, 2)}
    return {
        (a, b): tuple(sorted(id for id in (*splits[a], *splits[b]) if patient_of(id) in patients))
        for (a, b), patients in shared.items()
        if patients
    }


def _shuffled(ids: Sequence[str], patient_of: PatientOf, least: int, seed: int, purpose: str) -> list[str]:
    """Patients, in an order fixed by seed, purpose and each one's own identifier. DataError: fewer than `least`."""
    patients = {patient_of(id) for id in ids}
    if len(patients) < least:
        reason = f"{len(patients)} patients, but {least} are needed for {purpose}"
        raise DataError(reason, remedy="Give more patients or ask for fewer parts.")
    return sorted(patients, key=_key(seed, purpose))


def _key(seed: int, purpose: str) -> Callable[[str], tuple[bytes, str]]:
    key = hashlib.blake2b(f"{seed} {purpose}".encode(), digest_size=32).digest()
    return lambda name: (hashlib.blake2b(name.encode(), key=key, digest_size=16).digest(), name)


def _part(ids: Sequence[str], patient_of: PatientOf, held: set[str]) -> tuple[Ids, Ids]:
    out = {id for id in ids if patient_of(id) in held}
    return tuple(id for id in ids if id not in out), tuple(id for id in ids if id in out)
