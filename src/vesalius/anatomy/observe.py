"""One look at every image through one encoder: what all measures share, computed once.

Letters: L landmarks of an image, D features, C channels, *S voxels along ndim axes, R random patches for compositionality.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius import features
from vesalius.anatomy.compose import PARTS, Composition, cut_patches
from vesalius.anatomy.embedders import Embed, unit
from vesalius.anatomy.field import Field, Lattice
from vesalius.anatomy.motion import CONDITIONS, motion
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.features.subjects import Subject
from vesalius.space.warp import Matrix, move, warp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """side: of a patch, share of the short side. wider: sides of further patches around the same point, whose vectors are
    put beside: what lies around tells places apart that look alike. size: at which the network sees each, px.
    grid: cells of a field along the short side. conditions: of `motion`. composed: random patches an image, for
    compositionality. seed: of all draws."""

    side: float = features.SIDE
    wider: tuple[float, ...] = ()
    size: int = 224  # Adam, section 4
    grid: int = 16
    conditions: tuple[str, ...] = CONDITIONS
    composed: int = 8
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        strange = set(self.conditions) - set(CONDITIONS)
        if strange or "upright" not in self.conditions:
            raise SettingError(
                f"setting conditions is {self.conditions}",
                remedy=f"upright, and any others of {', '.join(CONDITIONS)}.",
            )
        for name, low in (("size", 4), ("grid", 2), ("composed", 0), ("batch", 1)):
            if getattr(self, name) < low:
                raise SettingError(f"setting {name} is {getattr(self, name)}", remedy=f"{low} at least.")
        for side in (self.side, *self.wider):
            if not 0 < side <= 1:
                raise SettingError(f"setting side is {side}", remedy="A share of the short side, in 0..1.")


@dataclass(frozen=True, eq=False)
class Marks:
    """The landmarks of a subject as an encoder sees them: names (L,), points (L, ndim) voxels, vectors (L, D) of length 1."""

    subject: Subject
    names: NDArray[np.str_]
    points: Array
    vectors: Tensor


@dataclass(frozen=True, eq=False)
class View(Marks):
    """A subject under one condition: `matrix` brought it there; `field` covers it."""

    condition: str
    matrix: Matrix
    field: Field


@dataclass(frozen=True, eq=False)
class Observed:
    """views: condition -> one a subject, in the same order. annotated: subjects whose landmarks are known to the search for
    landmarks; empty: the others are, one patient left out. composed: condition-free patches of each subject."""

    name: str
    data: str
    config: Config
    views: Mapping[str, tuple[View, ...]]
    annotated: tuple[Marks, ...] = ()
    composed: tuple[Composition, ...] = ()

    @property
    def upright(self) -> tuple[View, ...]:
        """The images as they are."""
        return self.views["upright"]


def observe(
    name: str,
    embed: Embed,
    subjects: Sequence[Subject],
    config: Config,
    *,
    data: str = "",
    annotated: Sequence[Subject] = (),
    fields: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Observed:
    """Every subject under every condition through one encoder. Nothing in the encoder changes.

    annotated: see `Observed`. fields: without them, only landmarks and random patches are looked at, which is quick.
    DataError where fewer than two patients are given: each measure compares across patients.
    """
    if len({subject.patient for subject in subjects}) < 2:
        raise DataError(
            f"{len({s.patient for s in subjects})} patients, where comparing across patients needs two at least"
        )
    views: dict[str, list[View]] = {condition: [] for condition in config.conditions}
    composed = []
    for i, subject in enumerate(subjects):
        for view in _views(embed, subject, i, config, fields):
            views[view.condition].append(view)
        if config.composed:
            composed.append(_composed(embed, subject, i, config))
        if progress is not None:
            progress(i + 1, len(subjects))
    known = tuple(_marks(embed, subject, subject.image, subject.landmarks, config) for subject in annotated)
    return Observed(name, data, config, {c: tuple(v) for c, v in views.items()}, known, tuple(composed))


def _views(embed: Embed, subject: Subject, index: int, config: Config, fields: bool) -> Iterator[View]:
    for condition in config.conditions:
        matrix = motion(condition, generator(config.seed, index), subject.shape)
        image = subject.image
        if condition != "upright":
            image = torch.from_numpy(warp(image.numpy(), matrix))
        moved = {name: move(matrix, point[None])[0] for name, point in subject.landmarks.items()}
        shown = np.array(subject.shape)
        inside = {name: p for name, p in moved.items() if np.all((p >= -0.5) & (p <= shown - 0.5))}
        marks = _marks(embed, subject, image, inside, config)
        seen = field_of(embed, image, config) if fields else Field.empty(subject.shape)
        yield View(subject, marks.names, marks.points, marks.vectors, condition, matrix, seen)


def _marks(embed: Embed, subject: Subject, image: Tensor, landmarks: Mapping[str, Array], config: Config) -> Marks:
    points = np.array(list(landmarks.values())).reshape(-1, len(subject.shape))
    names = np.array(list(landmarks), dtype=np.str_)
    if not len(points):
        return Marks(subject, names, points, torch.empty(0, 0))
    return Marks(subject, names, points, vectors_at(embed, image, points, config)[0])


def vectors_at(embed: Embed, image: Tensor, points: Array, config: Config) -> tuple[Tensor, Tensor]:
    """(C, *S) and (N, ndim) voxels -> (N, D) of length 1, and the patches of `config.side` (N, C, *size)."""
    places = _places(points, tuple(image.shape[1:]))
    cuts = [features.patches(image, points, side, config.size) for side in (config.side, *config.wider)]
    vectors = [unit(embed(cut, places)) for cut in cuts]
    return (unit(torch.cat(vectors, 1)) if config.wider else vectors[0]), cuts[0]


def field_of(embed: Embed, image: Tensor, config: Config) -> Field:
    """(C, *S) in 0..1 -> the field of its patches."""
    shape = tuple(image.shape[1:])
    lattice = Lattice.over(shape, config.grid)
    middles = lattice.middles
    vectors, body = [], []
    for start in range(0, len(middles), config.batch):
        found, cut = vectors_at(embed, image, middles[start : start + config.batch], config)
        vectors.append(found)
        flat = cut.flatten(1)
        body.append((flat.mean(1) > 0.05) & (flat.std(1) > 0.02))
    return Field(lattice, torch.cat(vectors), torch.cat(body).numpy())


def _composed(embed: Embed, subject: Subject, index: int, config: Config) -> Composition:
    """Random patches of a subject and their parts, all at the network's size."""
    cut = cut_patches(generator(config.seed, index, 1), subject.image, config.composed, config.side, config.size)

    def through(patches: Tensor) -> Tensor:
        flat = patches.flatten(0, 1)
        somewhere = np.full((len(flat), len(subject.shape)), 0.5)  # parts have no one place to speak of
        return embed(flat, somewhere).reshape(*patches.shape[:2], -1)

    return Composition(subject.patient, through(cut.wholes[:, None])[:, 0], {n: through(cut.parts[n]) for n in PARTS})


def _places(points: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray((points + 0.5) / np.array(shape))
