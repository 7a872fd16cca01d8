"""Locality: do patches of the same place lie together, whoever's they are? (Adam, Fig. 4.1, there a picture; here a number.)

A patch is cut around every landmark, and a backbone makes a vector of it. k-NN accuracy: the share of patches whose k nearest
patches *of other patients*, by cosine, name their landmark by majority. The gallery is fixed; intervals resample patients'
scores, not the gallery, since a patch drawn twice would be its own neighbour. Silhouette (Rousseeuw 1987) says how far
apart the landmarks lie. Controls: the same network at random, raw pixels, and the place in the image alone. In 2-D and 3-D.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius import features, statistics
from vesalius.chance import generator
from vesalius.data.cache import key_hash
from vesalius.data.datasets import Dataset, facts
from vesalius.data.prepare import prepare, prepare_points, steps_for
from vesalius.data.steps import Step
from vesalius.errors import DataError
from vesalius.models.backbone import Backbone
from vesalius.results import Row, select
from vesalius.statistics import Interval
from vesalius.views.crops import resize_axes
from vesalius.views.intensity import to_unit

Array = NDArray[np.float32]
Names = NDArray[np.str_]
Embed = Callable[[Tensor], Tensor]  # patches (N, C, *size) in 0..1 -> (N, D)


@dataclass(frozen=True)
class Config:
    """side: of a patch, share of the short side. size: network input, px. k: neighbours. short_side: of the 2-D scan, px,
    where no steps are given that prepare it."""

    side: float = features.SIDE
    size: int = 224  # Adam, section 4
    k: int = 5
    short_side: int = 512
    batch: int = 64
    seed: int = 0  # of the resampling


@dataclass(frozen=True, eq=False)
class Cohort:
    """Every landmark patch of a data set: its landmark, its patient (hashed), its place in 0..1 of the image, its vectors."""

    labels: Names  # (N,)
    patients: Names  # (N,)
    places: Array  # (N, ndim)
    vectors: Mapping[str, Array]  # name of what embedded -> (N, D)
    data: str = ""  # name of the data set


@dataclass(frozen=True)
class RawPixels:
    """The control that has learned nothing: the patch itself, shrunk to `size` px and mean-free, as the vector."""

    size: int = 32

    def __call__(self, patches: Tensor) -> Tensor:
        """(N, C, *S) -> (N, C * size ** ndim)."""
        small = [resize_axes(patch, (self.size,) * (patches.ndim - 2)) for patch in patches]
        flat = torch.stack(small).flatten(1)
        return flat - flat.mean(1, keepdim=True)


def coordinates(places: Array) -> Array:
    """The control that sees only where: (N, ndim) in 0..1 -> (N, 2 * ndim), on a circle for each axis, so that cosine
    falls with distance."""
    return np.concatenate([np.cos(places), np.sin(places)], axis=1).astype(np.float32)


def measure(
    backbone: Backbone, data: Dataset, config: Config, *, key: bytes | None = None, steps: Sequence[Step] = ()
) -> Iterator[Row]:
    """k-NN accuracy and silhouette of each patient, and the accuracy of each landmark; for `key`, `steps` see `embed`."""
    yield from rows(embed({"": embedder(backbone, config)}, data, config, key=key, steps=steps), "", config)


def compare(
    trained: Backbone,
    random_init: Backbone,
    data: Dataset,
    config: Config,
    *,
    ids: Sequence[str] | None = None,
    key: bytes | None = None,
    steps: Sequence[Step] = (),
) -> tuple[list[Row], Interval]:
    """Rows of both and of the controls, by their name in `run`, and the paired difference in accuracy, trained - random.

    `ids` restricts the scans, such as to those never trained on; for `key` and `steps` see `embed`: every scan is read and
    prepared once, for the controls too.
    """
    what: dict[str, Embed]
    what = {"trained": embedder(trained, config), "random": embedder(random_init, config), "raw_pixels": RawPixels()}
    cohort = embed(what, data, config, ids=ids, key=key, steps=steps)
    cohort = replace(cohort, vectors={**cohort.vectors, "coordinates": coordinates(cohort.places)})
    found = [row for name in cohort.vectors for row in rows(cohort, name, config)]
    a, b = (select(found, run=name, name="knn_accuracy") for name in ("trained", "random"))
    return found, statistics.compare(a, b, generator(config.seed))


def embedder(backbone: Backbone, config: Config) -> Embed:
    """A backbone as a function of patches: mean over space of the coarsest level."""
    return lambda patches: features.pooled(backbone, patches, config.batch)


def embed(
    what: Mapping[str, Embed],
    data: Dataset,
    config: Config,
    *,
    ids: Sequence[str] | None = None,
    key: bytes | None = None,
    steps: Sequence[Step] = (),
) -> Cohort:
    """The landmark patches of all scans (or of `ids`) through every embedder, each scan read once.

    Patients are hashed with `key`, such as `salt_of(cache)`; without one the key is random, and then patients of two calls
    cannot be paired. `steps` prepare the scans: those of the encoder that is measured (`zoo.load(run).steps`); none:
    `steps_for` with `config.short_side`. Raises DataError where fewer than two patients have landmarks: no neighbours.
    """
    secret = secrets.token_bytes(32) if key is None else key
    labels: list[str] = []
    patients: list[str] = []
    places: list[Array] = []
    vectors: dict[str, list[Array]] = {name: [] for name in what}
    for id in data.ids if ids is None else ids:
        names, images, at = landmark_patches(data, id, config, steps)
        if not names:
            continue
        labels += names
        patients += [key_hash(secret, data.patient(id))] * len(names)
        places.append(at)
        for name, function in what.items():
            vectors[name].append(function(images).numpy())
    if len(set(patients)) < 2:
        raise DataError(f"landmarks of {len(set(patients))} patients, where k-NN across patients needs two at least")
    joined = {name: np.concatenate(parts) for name, parts in vectors.items()}
    about = facts(data)
    name = about.name if about else ""
    return Cohort(np.array(labels), np.array(patients), np.concatenate(places), joined, name)


def landmark_patches(
    data: Dataset, id: str, config: Config, steps: Sequence[Step] = ()
) -> tuple[list[str], Tensor, Array]:
    """Of one scan: P names, (P, C, *size) patches and (P, ndim) places, all in 0..1. What lies out of the image is left out."""
    scan, landmarks = data.read(id), data.labels(id).landmarks
    steps = steps or steps_for(scan.ndim, config.short_side)
    prepared = prepare(scan, steps)
    shape = np.array(prepared.scan.shape)
    points = np.array(list(landmarks.values()), np.float64).reshape(-1, scan.ndim)
    points = prepare_points(points, steps, prepared.trace)
    inside = np.all((points >= -0.5) & (points <= shape - 0.5), axis=1)
    names = [name for name, seen in zip(landmarks, inside, strict=True) if seen]
    places = ((points[inside] + 0.5) / shape).astype(np.float32)
    if not names:
        return [], torch.empty(0), places
    image = to_unit(torch.from_numpy(prepared.scan.image), prepared.scan.unit)
    return names, features.patches(image, points[inside], config.side, config.size), places


def rows(cohort: Cohort, name: str, config: Config) -> Iterator[Row]:
    """Rows of one of the cohort's embedders, called `name` in `run`."""
    vectors = cohort.vectors[name]
    right, answerable = correct(vectors, cohort.labels, cohort.patients, config.k)
    apart = silhouette(vectors, cohort.labels)

    def row(quantity: str, values: NDArray[Any], patient: str = "", structure: str = "") -> Row:
        value = float(values.mean())
        return Row(
            measure="locality",
            name=quantity,
            value=value,
            run=name,
            data=cohort.data,
            structure=structure,
            patient=patient,
        )

    for patient in np.unique(cohort.patients[answerable]):
        chosen = answerable & (cohort.patients == patient)
        yield row("knn_accuracy", right[chosen], patient=str(patient))
        if np.isfinite(apart[chosen]).all():
            yield row("silhouette", apart[chosen], patient=str(patient))
    for label in np.unique(cohort.labels[answerable]):
        yield row("knn_accuracy_of_landmark", right[answerable & (cohort.labels == label)], structure=str(label))


def accuracy(vectors: Array, labels: Names, patients: Names, k: int = 5) -> dict[str, float]:
    """(N, D), (N,), (N,) -> patient -> share of the patient's patches that are named rightly, 0..1."""
    right, answerable = correct(vectors, labels, patients, k)
    who = patients[answerable]
    return {str(patient): float(right[answerable][who == patient].mean()) for patient in np.unique(who)}


def correct(vectors: Array, labels: Names, patients: Names, k: int = 5) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N, D), (N,), (N,) -> (N,) whether the k nearest of other patients, by cosine, name the landmark; (N,) whether they can.

    Majority; a tie goes to the landmark with the larger sum of cosines. A patch whose landmark no other patient has cannot
    be named: it is no query, though it stays in the gallery.
    """
    names, code = np.unique(labels, return_inverse=True)
    owner = np.unique(patients, return_inverse=True)[1]
    unit = _unit(vectors)
    right = np.zeros(len(labels), bool)
    answerable = np.zeros(len(labels), bool)
    for patient in np.unique(owner):  # queries of one patient share one gallery
        mine = owner == patient
        n = min(k, int((~mine).sum()))
        distance = np.where(mine, np.inf, -unit[mine] @ unit.T)
        near = np.argpartition(distance, n - 1, axis=1)[:, :n]
        votes = np.zeros((len(near), len(names)))
        weight = 1 - np.take_along_axis(distance, near, 1) / (
            4 * n
        )  # decides ties only: n cosines differ by 2n at most
        np.add.at(votes, (np.arange(len(near))[:, None], code[near]), weight)
        right[mine] = votes.argmax(1) == code[mine]
        answerable[mine] = np.isin(code[mine], code[~mine])
    return right, answerable


def silhouette(vectors: Array, labels: Names) -> NDArray[np.float64]:
    """(N, D), (N,) -> (N,) in -1..1 by cosine distance, landmarks as clusters; NaN where there is one, or each is alone."""
    if not 2 <= len(np.unique(labels)) < len(labels):
        return np.full(len(labels), np.nan)
    from sklearn.metrics import silhouette_samples  # heavy: not at import

    found: NDArray[np.float64] = silhouette_samples(_unit(vectors), labels, metric="cosine")
    return found


def _unit(vectors: Array) -> Array:
    """To length 1; a vector of zeros stays, and has cosine 0 with all others."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = np.divide(vectors, np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)
    return unit
