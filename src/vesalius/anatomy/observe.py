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
from vesalius.anatomy.embedders import Embed, Placed, VoxelVectors
from vesalius.anatomy.field import Field, Searched
from vesalius.anatomy.motion import CONDITIONS, motion
from vesalius.anatomy.sight import Sight, sight
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.features.subjects import Subject
from vesalius.space.warp import Matrix, inverse, move, warp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """side: of a patch, share of the short side. wider: sides of further patches around the same point, whose vectors are
    put beside: what lies around tells places apart that look alike. size: at which the network sees each, px.
    grid: cells of a field along the short side. fine: cells of the map in which an encoder of voxels seeks landmarks, along
    the short side; 0: every voxel. conditions: of `motion`. composed: random patches an image, for compositionality.
    sampled: voxels of each structure and image, for `organs`. seed: of all draws."""

    side: float = features.SIDE
    wider: tuple[float, ...] = ()
    size: int = 224  # Adam, section 4
    grid: int = 16
    fine: int = 0
    conditions: tuple[str, ...] = CONDITIONS
    composed: int = 8
    sampled: int = 0
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        strange = set(self.conditions) - set(CONDITIONS)
        if strange or "upright" not in self.conditions:
            raise SettingError(
                f"setting conditions is {self.conditions}",
                remedy=f"upright, and any others of {', '.join(CONDITIONS)}.",
            )
        for name, low in (("size", 4), ("grid", 2), ("fine", 0), ("composed", 0), ("sampled", 0), ("batch", 1)):
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
    """A subject under one condition: `matrix` brought it there; `field` covers it. fine: the map in which landmarks are
    sought, where it is another one. organs: voxels of its structures, which name them."""

    condition: str
    matrix: Matrix
    field: Field
    fine: Searched | None = None
    organs: Marks | None = None

    @property
    def searched(self) -> Searched:
        """The map in which landmarks are sought."""
        return self.field if self.fine is None else self.fine


@dataclass(frozen=True, eq=False)
class Observed:
    """views: condition -> one a subject, in the same order. annotated: subjects whose landmarks are known to the search for
    landmarks; empty: the others are, one patient left out. composed: condition-free patches of each subject. levels: of an
    encoder of voxels, how many numbers of a vector each level of the pyramid gives."""

    name: str
    data: str
    config: Config
    views: Mapping[str, tuple[View, ...]]
    annotated: tuple[Marks, ...] = ()
    composed: tuple[Composition, ...] = ()
    levels: tuple[int, ...] = ()

    @property
    def upright(self) -> tuple[View, ...]:
        """The images as they are."""
        return self.views["upright"]


def observe(
    name: str,
    embed: Embed | VoxelVectors | Placed,
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
        if config.composed and not isinstance(embed, VoxelVectors | Placed):
            composed.append(_composed(embed, subject, i, config))
        if progress is not None:
            progress(i + 1, len(subjects))
    known = tuple(_marks(sight(embed, s, s.image, config), s, s.landmarks) for s in annotated)
    levels = tuple(embed.backbone.channels) if isinstance(embed, VoxelVectors) else ()
    return Observed(name, data, config, {c: tuple(v) for c, v in views.items()}, known, tuple(composed), levels)


def _views(
    embed: Embed | VoxelVectors | Placed, subject: Subject, index: int, config: Config, fields: bool
) -> Iterator[View]:
    organs = _sampled(subject, config.sampled, generator(config.seed, index, 9)) if config.sampled else []
    for condition in config.conditions:
        matrix = motion(condition, generator(config.seed, index), subject.shape)
        image = subject.image
        if condition != "upright":
            image = torch.from_numpy(warp(image.numpy(), matrix))
        seen = sight(embed, subject, image, config)
        marks = _marks(seen, subject, subject.landmarks, matrix)
        field = seen.field() if fields else Field.empty(subject.shape)
        if fields and subject.inside is not None:  # the same for every encoder
            body = within(subject.body[None], matrix, field.lattice.middles)[:, 0]
            field = Field(field.lattice, field.vectors, body)
        yield View(
            subject, marks.names, marks.points, marks.vectors, condition, matrix, field,
            seen.fine() if fields else None, _marks(seen, subject, organs, matrix) if organs else None,
        )  # fmt: skip


def _marks(
    seen: Sight,
    subject: Subject,
    named: Mapping[str, Array] | Sequence[tuple[str, Array]],
    matrix: Matrix | None = None,
) -> Marks:
    """Those of the named points of the upright image that are in the image when `matrix` has moved it."""
    pairs = list(named.items() if isinstance(named, Mapping) else named)
    points = np.array([point for _, point in pairs]).reshape(-1, len(subject.shape))
    names = np.array([name for name, _ in pairs], dtype=np.str_)
    if matrix is not None:
        points = move(matrix, points)
    inside = np.all((points >= -0.5) & (points <= np.array(subject.shape) - 0.5), axis=1)
    points, names = points[inside], names[inside]
    return Marks(subject, names, points, seen.at(points) if len(points) else torch.empty(0, 0))


def within(masks: NDArray[np.bool_], matrix: Matrix, points: Array) -> NDArray[np.bool_]:
    """(K, *S) of the upright image, and (M, ndim) voxels of the one that `matrix` moved -> (M, K): which hold each point."""
    upright = np.rint(move(inverse(matrix), points)).astype(int)
    shape = np.array(masks.shape[1:])
    inside = np.all((upright >= 0) & (upright < shape), axis=1)
    clipped = tuple(np.clip(upright, 0, shape - 1).T)
    return np.asarray(masks[(slice(None), *clipped)].T & inside[:, None])


def _sampled(subject: Subject, count: int, rng: np.random.Generator) -> list[tuple[str, Array]]:
    """`count` voxels of each structure, or all; of those that overlap, a voxel is of the smallest. Names come often."""
    masks = {name: subject.structure(name) for name in subject.structures}
    free, found = np.ones(subject.shape, bool), []
    for name in sorted(masks, key=lambda name: masks[name].sum()):
        voxels = np.argwhere(masks[name] & free)
        free &= ~masks[name]
        chosen = rng.permutation(len(voxels))[:count]
        found += [(name, voxel) for voxel in voxels[chosen].astype(np.float64)]
    return found


def _composed(embed: Embed, subject: Subject, index: int, config: Config) -> Composition:
    """Random patches of a subject and their parts, all at the network's size."""
    cut = cut_patches(generator(config.seed, index, 1), subject.image, config.composed, config.side, config.size)

    def through(patches: Tensor) -> Tensor:
        flat = patches.flatten(0, 1)
        somewhere = np.full((len(flat), len(subject.shape)), 0.5)  # parts have no one place to speak of
        return embed(flat, somewhere).reshape(*patches.shape[:2], -1)

    return Composition(subject.patient, through(cut.wholes[:, None])[:, 0], {n: through(cut.parts[n]) for n in PARTS})
