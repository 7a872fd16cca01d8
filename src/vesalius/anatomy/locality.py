"""Locality: do patches of the same place lie together, whoever's they are? (Adam, Fig. 4.1, there a picture; here a number.)

A patch is cut around every landmark, and an encoder makes a vector of it. k-NN accuracy: the share of patches whose k
nearest patches *of other patients*, by cosine, name their landmark by majority. The gallery is fixed, upright, and never
holds the query's patient; intervals resample patients' scores, not the gallery, since a patch drawn twice would be its own
neighbour. Upright, centred images are easy: the place in the image alone names most landmarks. So queries are shown moved,
too, and the gallery is cut down to 1, 5 and 20 patients. margin: mean cosine to the own landmark's patches less that to
the best other landmark's. Silhouette (Rousseeuw 1987) says how far apart the landmarks lie. In 2-D and 3-D.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.anatomy.observe import Marks, Observed
from vesalius.anatomy.rows import Saver, row
from vesalius.chance import generator
from vesalius.results import Row

Array = NDArray[np.float32]
Names = NDArray[np.str_]
Flags = NDArray[np.bool_]
HARD = ("upright", "all")  # where all numbers are given; k-NN in the full gallery is, under every condition


@dataclass(frozen=True)
class Config:
    """k: neighbours. galleries: numbers of patients to cut the gallery down to, each drawn `draws` times."""

    k: int = 5
    galleries: tuple[int, ...] = (1, 5, 20)
    draws: int = 20


@dataclass(frozen=True, eq=False)
class Patches:
    """N landmark patches: vectors (N, D) of length 1, labels (N,), patients (N,)."""

    vectors: Array
    labels: Names
    patients: Names

    def __len__(self) -> int:
        """N."""
        return len(self.labels)


def patches(marks: Sequence[Marks]) -> Patches:
    """The landmark patches of many subjects."""
    some = [m for m in marks if len(m.names)]
    empty = np.zeros((0, 1), np.float32)
    return Patches(
        np.concatenate([empty, *(m.vectors.numpy() for m in some)])
        if not some
        else np.concatenate([m.vectors.numpy() for m in some]),
        np.concatenate([np.array([], np.str_), *(m.names for m in some)]),
        np.concatenate([np.array([], np.str_), *(np.repeat(m.subject.patient, len(m.names)) for m in some)]),
    )


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """knn_accuracy under every condition; in small galleries, margin, silhouette and each landmark upright and moved.

    Nothing where fewer than two patients have landmarks.
    """
    gallery = patches(seen.upright)
    if len(np.unique(gallery.patients)) < 2:
        return
    shown = {condition: patches(views) for condition, views in seen.views.items()}
    for condition, queries in shown.items():
        yield from _accuracies(seen, condition, queries, gallery, config)
        if condition in HARD:
            yield from _apart(seen, condition, queries, gallery)
    kept = [c for c in HARD if c in shown]
    arrays = {
        "vectors": np.concatenate([shown[c].vectors for c in kept]).astype(np.float16),
        "labels": np.concatenate([shown[c].labels for c in kept]),
        "conditions": np.repeat(kept, [len(shown[c]) for c in kept]),
    }
    yield row(seen, "locality", "vectors", float(len(arrays["labels"])), artefact=save(arrays))


def _accuracies(seen: Observed, condition: str, queries: Patches, gallery: Patches, config: Config) -> Iterator[Row]:
    right, can = correct(queries, gallery, config.k)
    who = queries.patients
    for patient in np.unique(who[can]):
        value = float(right[can & (who == patient)].mean())
        yield row(seen, "locality", "knn_accuracy", value, patient=str(patient), condition=condition)
    if condition not in HARD:
        return
    for label in np.unique(queries.labels[can]):
        value = float(right[can & (queries.labels == label)].mean())
        yield row(seen, "locality", "knn_accuracy_of_landmark", value, structure=str(label), condition=condition)
    for size in config.galleries:
        for who_, score in small_gallery(queries, gallery, size, config, seen.config.seed).items():
            yield row(seen, "locality", f"knn_accuracy_{size}", score, patient=who_, condition=condition)


def _apart(seen: Observed, condition: str, queries: Patches, gallery: Patches) -> Iterator[Row]:
    for name, values in (
        ("margin", margins(queries, gallery)),
        ("silhouette", silhouette(queries.vectors, queries.labels)),
    ):
        for patient in np.unique(queries.patients):
            own = values[queries.patients == patient]
            if np.isfinite(own).any():
                value = float(np.nanmean(own))
                yield row(seen, "locality", name, value, patient=str(patient), condition=condition)


def correct(queries: Patches, gallery: Patches, k: int = 5) -> tuple[Flags, Flags]:
    """(N,) whether the k nearest of other patients, by cosine, name the landmark; (N,) whether they can.

    Majority; a tie goes to the landmark with the larger sum of cosines. A patch whose landmark no other patient in the
    gallery has cannot be named: it is no query.
    """
    right, can = np.zeros(len(queries), bool), np.zeros(len(queries), bool)
    names, code = np.unique(gallery.labels, return_inverse=True)
    for patient in np.unique(queries.patients):  # queries of one patient share one gallery
        mine, others = queries.patients == patient, gallery.patients != patient
        cosines = queries.vectors[mine] @ gallery.vectors[others].T
        right[mine] = (
            names[vote(cosines, code[others], len(names), k)] == queries.labels[mine] if others.any() else False
        )
        can[mine] = np.isin(queries.labels[mine], gallery.labels[others])
    return right, can


def vote(cosines: Array, code: NDArray[np.int64], labels: int, k: int) -> NDArray[np.int64]:
    """(N, G) cosines and (G,) labels as numbers -> (N,) the label of most of the k nearest."""
    n = min(k, cosines.shape[1])
    near = np.argpartition(-cosines, n - 1, axis=1)[:, :n]
    # The cosine decides ties only: n of them, each in -1..1, weigh less than a vote.
    weight = 1 + np.take_along_axis(cosines, near, 1) / (4 * n)
    votes = np.zeros((len(near), labels))
    np.add.at(votes, (np.arange(len(near))[:, None], code[near]), weight)
    return np.asarray(votes.argmax(1))


def small_gallery(queries: Patches, gallery: Patches, size: int, config: Config, seed: int) -> dict[str, float]:
    """Patient -> accuracy with a gallery of `size` other patients, the mean over draws; one vote of at most `size`
    neighbours. Empty where there are not so many others."""
    names, code = np.unique(gallery.labels, return_inverse=True)
    everyone, found = np.unique(gallery.patients), {}
    columns = {patient: np.flatnonzero(gallery.patients == patient) for patient in everyone}
    for i, patient in enumerate(np.unique(queries.patients)):
        others = everyone[everyone != patient]
        if len(others) < size:
            return {}
        mine = queries.patients == patient
        cosines, labels = queries.vectors[mine] @ gallery.vectors.T, queries.labels[mine]
        rng, shares = generator(seed, size, i), []
        for _ in range(config.draws):
            chosen = np.concatenate([columns[p] for p in rng.choice(others, size, replace=False)])
            named = names[vote(cosines[:, chosen], code[chosen], len(names), min(config.k, size))]
            can = np.isin(labels, gallery.labels[chosen])
            shares += [(named == labels)[can].mean()] if can.any() else []
        if shares:
            found[str(patient)] = float(np.mean(shares))
    return found


def margins(queries: Patches, gallery: Patches) -> NDArray[np.float64]:
    """(N,): mean cosine to other patients' patches of the own landmark, less the best such mean of another landmark.

    In -2..2; NaN where other patients do not show the own landmark, or no other landmark.
    """
    names, code = np.unique(gallery.labels, return_inverse=True)
    found = np.full(len(queries), np.nan)
    for patient in np.unique(queries.patients):
        mine, others = queries.patients == patient, gallery.patients != patient
        member = np.eye(len(names))[code[others]]
        count = member.sum(0)
        means = np.where(count > 0, queries.vectors[mine] @ (gallery.vectors[others].T @ member), -np.inf)
        means = np.divide(means, count, out=means, where=count > 0)
        is_own = queries.labels[mine][:, None] == names
        own, best = (np.where(chosen, means, -np.inf).max(1) for chosen in (is_own, ~is_own))
        with np.errstate(invalid="ignore"):
            found[mine] = np.where(np.isfinite(own) & np.isfinite(best), own - best, np.nan)
    return found


def silhouette(vectors: Array, labels: Names) -> NDArray[np.float64]:
    """(N, D), (N,) -> (N,) in -1..1 by cosine distance, landmarks as clusters; NaN where there is one, or each is alone."""
    if not 2 <= len(np.unique(labels)) < len(labels):
        return np.full(len(labels), np.nan)
    from sklearn.metrics import silhouette_samples  # heavy: not at import

    found: NDArray[np.float64] = silhouette_samples(vectors, labels, metric="cosine")
    return found
