"""Compositionality: is the embedding of a whole the sum of its parts'? (Adam, Fig. 4.2, there a density; here a number too.)

Random patches are cut into 2, 3 and 4 parts, all resized to the network's input: cos(E(whole), mean of E(parts)). Sum and
mean point the same way. Chance is high, since features that are never negative resemble each other whatever they show
(0.46 to 0.63 for independent ones): so the same whole is compared with parts of other patients' patches, a part from
each. gain: the difference of the two cosines; closed: the share of the way from there to 1 that the own parts go, which a
shift common to all features does not change much, and which is the number to compare encoders by. A constant embedding has
cosine 1, gain 0 and closed 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from vesalius.anatomy.compose import PARTS
from vesalius.anatomy.observe import Observed
from vesalius.anatomy.rows import Saver, row
from vesalius.chance import generator
from vesalius.results import Row

Array = NDArray[np.float64]
NAMES = ("cosine", "cosine_shuffled", "gain", "closed")


@dataclass(frozen=True)
class Config:
    """shuffles: how often parts are drawn from other patients for the control."""

    shuffles: int = 4


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """Of each patient: the four NAMES; of the cohort: mode and spread of both cosines. structure: "2 parts", ..."""
    if not seen.composed:
        return
    patients = np.array([c.patient for c in seen.composed])
    wholes = torch.stack([c.wholes for c in seen.composed]).float()  # (subjects, R, D)
    arrays: dict[str, NDArray[np.generic]] = {}
    for n in PARTS:
        parts = torch.stack([c.parts[n] for c in seen.composed]).float()  # (subjects, R, n, D)
        own = aggregate_cosine(wholes, parts)
        other = np.mean(
            [shuffled_cosine(wholes, parts, patients, seen.config.seed + i) for i in range(config.shuffles)], 0
        )
        arrays |= {f"parts_{n}": own.ravel().astype(np.float32), f"shuffled_{n}": other.ravel().astype(np.float32)}
        for patient in dict.fromkeys(patients.tolist()):
            mine = patients == patient
            for name, score in of_patient(own[mine].mean(), other[mine].mean()).items():
                yield row(seen, "compositionality", name, score, patient=patient, structure=f"{n} parts")
        for suffix, value in (("", own), ("_shuffled", other)):
            of_all = {"mode": mode(value.ravel()), "spread": float(value.std())}
            for name, number in of_all.items():
                yield row(seen, "compositionality", name + suffix, number, structure=f"{n} parts")
    yield row(seen, "compositionality", "cosines", float(wholes.shape[0] * wholes.shape[1]), artefact=save(arrays))


def of_patient(own: float, other: float) -> dict[str, float]:
    """Mean cosines with the own parts and with others' -> the four numbers of a patient."""
    closed = (own - other) / max(1 - other, 1e-6)
    return {name: float(v) for name, v in zip(NAMES, (own, other, own - other, closed), strict=True)}


def aggregate_cosine(wholes: Tensor, parts: Tensor) -> Array:
    """(..., D) and (..., n, D) -> (...): cosine of each whole and the mean of its parts."""
    return np.asarray(cosine_similarity(wholes, parts.mean(-2), dim=-1).double().numpy())


def shuffled_cosine(wholes: Tensor, parts: Tensor, patients: NDArray[np.str_], seed: int) -> Array:
    """(P, R, D), (P, R, n, D), (P,) -> (P, R): the same with parts of other patients, each part from another draw."""
    subjects, repeats, n, _ = parts.shape
    rng = generator(seed, 2)
    mixed = torch.empty_like(parts)
    for i in range(subjects):
        others = np.flatnonzero(patients != patients[i])
        who, which = rng.choice(others, (repeats, n)), rng.integers(repeats, size=(repeats, n))
        mixed[i] = parts[torch.from_numpy(who), torch.from_numpy(which), torch.arange(n)]
    return aggregate_cosine(wholes, mixed)


def mode(values: Array) -> float:
    """(N,) -> where a Gaussian kernel estimate of their density is highest; their mean where they are all equal."""
    from scipy.stats import gaussian_kde  # heavy: not at import

    if np.ptp(values) < 1e-9:
        return float(values.mean())
    at = np.linspace(values.min(), values.max(), 256)
    return float(at[gaussian_kde(values)(at).argmax()])
