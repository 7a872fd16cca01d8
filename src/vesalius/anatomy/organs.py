"""Organs: do the voxels of one organ lie together, whoever's it is? (vox2vec, Fig. 3, there a picture; here a number too.)

Some voxels are drawn from each structure of each patient; each is named by its k nearest voxels *of other patients*, by
cosine, among the drawn ones of upright images. The voxels that ask are upright, or moved with their image. As in `locality`
the gallery is fixed, and never holds the patient who asks. The map of all drawn voxels (t-SNE) is kept, for a report.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vesalius.anatomy.locality import HARD, Patches, correct, patches
from vesalius.anatomy.observe import Marks, Observed
from vesalius.anatomy.rows import Saver, row
from vesalius.anatomy.tsne import tsne
from vesalius.chance import generator
from vesalius.results import Row


@dataclass(frozen=True)
class Config:
    """k: neighbours. points: of the map, at most; 0: no map."""

    k: int = 5
    points: int = 2000


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """knn_accuracy of each patient, knn_accuracy_of_structure of each structure, upright and moved; and the map.

    Nothing where no voxels were drawn, or those of fewer than two patients.
    """
    shown = {c: patches(_drawn(seen, c)) for c in HARD if c in seen.views}
    gallery = shown["upright"]
    if len(np.unique(gallery.patients)) < 2:
        return
    for condition, queries in shown.items():
        right, can = correct(queries, gallery, config.k)
        for patient in np.unique(queries.patients[can]):
            value = float(right[can & (queries.patients == patient)].mean())
            yield row(seen, "organs", "knn_accuracy", value, patient=str(patient), condition=condition)
        for name in np.unique(queries.labels[can]):
            value = float(right[can & (queries.labels == name)].mean())
            yield row(seen, "organs", "knn_accuracy_of_structure", value, structure=str(name), condition=condition)
    if config.points:
        yield from _map(seen, gallery, config, save)


def _drawn(seen: Observed, condition: str) -> list[Marks]:
    return [view.organs for view in seen.views[condition] if view.organs is not None]


def _map(seen: Observed, gallery: Patches, config: Config, save: Saver) -> Iterator[Row]:
    """places (M, 2), labels (M,) structures, patients (M,) numbered."""
    chosen = np.sort(generator(seen.config.seed, 10).permutation(len(gallery))[: config.points])
    places = tsne(gallery.vectors[chosen], seen.config.seed)
    if places is not None:
        who = np.unique(gallery.patients[chosen], return_inverse=True)[1]
        arrays = {"places": places, "labels": gallery.labels[chosen], "patients": who.astype(np.int32)}
        yield row(seen, "organs", "map", float(len(places)), artefact=save(arrays))
