"""Levels: what does each level of the pyramid know on its own? Fine ones see the nearest tissue, coarse ones the region.

Each level is measured as if it were the whole encoder: its part of each voxel's vector, brought to length 1, names organs
(see `organs`) and is sought in other patients (see `landmarks`). Encoders of voxels alone have levels at every voxel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from vesalius.anatomy import landmarks, organs
from vesalius.anatomy.embedders import unit
from vesalius.anatomy.field import Field
from vesalius.anatomy.locality import HARD
from vesalius.anatomy.observe import Marks, Observed, View
from vesalius.anatomy.rows import Saver, nowhere
from vesalius.anatomy.voxelfield import VoxelField
from vesalius.results import Row

KEPT = ("knn_accuracy", "error", "error_mm", "within_5")
Of = TypeVar("Of", bound=Marks)


@dataclass(frozen=True)
class Config:
    """shots, draws: of the search for landmarks. k: neighbours that name a voxel."""

    shots: tuple[int, ...] = (1, 5)
    draws: int = 2
    k: int = 5


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """Of each patient, upright and moved: knn_accuracy of organs' voxels; error, error_mm, within_5 of landmarks. The
    structure of a row is its level, such as `level 0`, the finest. Nothing of encoders of patches, or of one level."""
    for k in range(len(seen.levels) if len(seen.levels) > 1 else 0):
        own = alone(seen, k)
        sought = landmarks.rows(own, landmarks.Config(config.shots, config.draws, pictures=0), nowhere)
        named = organs.rows(own, organs.Config(config.k, points=0), nowhere)
        for row in (*named, *sought):
            if row.patient and row.name in KEPT:
                yield replace(row, measure="levels", structure=f"level {k}")


def alone(seen: Observed, k: int) -> Observed:
    """What was seen, by one level of the pyramid alone."""
    part = slice(sum(seen.levels[:k]), sum(seen.levels[: k + 1]))
    views = {c: tuple(_view(view, part, k) for view in seen.views[c]) for c in HARD if c in seen.views}
    return replace(seen, views=views, annotated=_each(seen.annotated, part), composed=(), levels=())


def _view(view: View, part: slice, k: int) -> View:
    fine = view.fine.level(k) if isinstance(view.fine, VoxelField) else None
    drawn = None if view.organs is None else _each([view.organs], part)[0]
    return replace(_each([view], part)[0], field=Field.empty(view.subject.shape), fine=fine, organs=drawn)


def _each(marks: Sequence[Of], part: slice) -> tuple[Of, ...]:
    return tuple(replace(one, vectors=unit(one.vectors[:, part])) for one in marks)
