"""Registration: can one patient be laid over another by what the embedding finds alike?

Mutual nearest cells of two fields are matches; RANSAC (Fischler & Bolles 1981) finds the affine motion that most of them
agree with. Target registration error at landmarks (mean distance, in the fixed image) and Dice of carried masks, against
the identity, which is what the control `coordinates` gives where the moving image is upright.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.anatomy.correspondence import partners
from vesalius.anatomy.observe import Observed, View
from vesalius.anatomy.picture import flatten, grey
from vesalius.anatomy.rows import Saver, row
from vesalius.chance import generator
from vesalius.results import Row
from vesalius.space.warp import Matrix, fit_affine, inverse, move, warp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """partners: other patients that each is registered to. trials: of RANSAC. near: a match agrees with a motion when this
    near, share of the diagonal. volume: a motion that shrinks or grows the body by more is none. pictures: as elsewhere."""

    partners: int = 2
    trials: int = 1000
    near: float = 0.05
    volume: float = 3.0
    pictures: int = 2


@dataclass(frozen=True, eq=False)
class Pair:
    """`back` takes voxels of the upright moving image to the fixed one. errors (L,) voxels of the fixed image."""

    fixed: View
    moving: View
    back: Matrix
    inliers: float
    errors: Array
    millimetres: Array | None
    dice: Array


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """Of each patient, the mean over partners: tre (share of the diagonal), tre_px, tre_mm, dice, inliers; upright, all."""
    pictures: list[Pair] = []
    for condition in ("upright", "all"):
        of_patient: dict[str, list[Pair]] = defaultdict(list)
        for i, fixed in enumerate(seen.upright if condition in seen.views else ()):
            for j in partners(seen, i, config.partners):
                pair = register(fixed, seen.views[condition][j], config, generator(seen.config.seed, i, j, 8))
                of_patient[fixed.subject.patient].append(pair)
        for patient, pairs in of_patient.items():
            for name, value in _values(pairs).items():
                yield row(seen, "registration", name, value, patient=patient, condition=condition)
        pictures = [pair for pairs in of_patient.values() for pair in pairs] or pictures
    if pictures:
        yield row(seen, "registration", "pairs", float(len(pictures)), artefact=save(_pictures(pictures, config)))


def _values(pairs: list[Pair]) -> dict[str, float]:
    values = {"inliers": float(np.mean([pair.inliers for pair in pairs]))}
    measured = [pair for pair in pairs if len(pair.errors)]
    if measured:
        values["tre_px"] = float(np.mean([pair.errors.mean() for pair in measured]))
        values["tre"] = float(np.mean([pair.errors.mean() / pair.fixed.subject.diagonal for pair in measured]))
    millimetres = [pair.millimetres.mean() for pair in measured if pair.millimetres is not None]
    if millimetres:
        values["tre_mm"] = float(np.mean(millimetres))
    dice = [pair.dice.mean() for pair in pairs if len(pair.dice)]
    if dice:
        values["dice"] = float(np.mean(dice))
    return values


def register(fixed: View, moving: View, config: Config, rng: np.random.Generator) -> Pair:
    """Lay `moving` over `fixed`. Where too few matches agree it stays where it is (identity)."""
    a, b = mutual(fixed, moving)
    near = config.near * fixed.subject.diagonal
    there, share = ransac(a, b, near, config.trials, config.volume, rng)  # fixed -> moving as it was shown
    to_upright = compose(inverse(moving.matrix), there)
    back = inverse(to_upright)
    names = sorted(set(fixed.names.tolist()) & set(moving.subject.landmarks))
    dim = len(fixed.subject.shape)
    truth = np.array([fixed.subject.landmarks[name] for name in names]).reshape(-1, dim)
    carried = move(back, np.array([moving.subject.landmarks[name] for name in names]).reshape(-1, dim))
    errors = np.linalg.norm(carried - truth, axis=1)
    return Pair(
        fixed, moving, back, share, errors, fixed.subject.mm(carried - truth), carried_dice(fixed, moving, back)
    )


def mutual(fixed: View, moving: View) -> tuple[Array, Array]:
    """(M, ndim), (M, ndim) voxels: the cells of two bodies that are each other's nearest."""
    one, two = np.flatnonzero(fixed.field.body), np.flatnonzero(moving.field.body)
    if not len(one) or not len(two):
        return np.empty((0, len(fixed.subject.shape))), np.empty((0, len(fixed.subject.shape)))
    heat = (fixed.field.vectors[one] @ moving.field.vectors[two].T).numpy()
    forth, back = heat.argmax(1), heat.argmax(0)
    agree = np.flatnonzero(back[forth] == np.arange(len(one)))
    return fixed.field.lattice.middles[one[agree]], moving.field.lattice.middles[two[forth[agree]]]


def ransac(
    a: Array, b: Array, near: float, trials: int, volume: float, rng: np.random.Generator
) -> tuple[Matrix, float]:
    """(M, ndim), (M, ndim) -> the affine motion a -> b that most matches agree with within `near`, fitted to all of these,
    and their share. The identity and 0 where fewer than 2 (ndim + 1) agree: three points always agree with something."""
    ndim = a.shape[1]
    still = np.eye(ndim, ndim + 1)
    if len(a) < 2 * (ndim + 1):
        return still, 0.0
    chosen = rng.random((trials, len(a))).argpartition(ndim, axis=1)[:, : ndim + 1]
    guesses = fit_affine(a[chosen], b[chosen])
    size = np.linalg.det(guesses[:, :, :-1])
    guesses = guesses[(size > 1 / volume) & (size < volume)]
    if not len(guesses):
        return still, 0.0
    moved = np.einsum("tij,mj->tmi", guesses[:, :, :-1], a) + guesses[:, None, :, -1]
    agree = np.linalg.norm(moved - b, axis=2) <= near
    inside = agree[agree.sum(1).argmax()]
    for _ in range(3):
        if inside.sum() < 2 * (ndim + 1):
            return still, 0.0
        best = fit_affine(a[inside], b[inside])
        inside = np.linalg.norm(move(best, a) - b, axis=1) <= near
    if not 1 / volume < np.linalg.det(best[:, :-1]) < volume:
        return still, 0.0
    return best, float(inside.mean())


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The motion `first`, then `second`."""
    linear = second[:, :-1] @ first[:, :-1]
    return np.concatenate([linear, second[:, :-1] @ first[:, -1:] + second[:, -1:]], axis=1)


def carried_dice(fixed: View, moving: View, back: Matrix) -> Array:
    """(K,) Dice of the masks that both have, carried from the moving image; structures empty in both are left out."""
    common = [name for name in fixed.subject.structures if name in moving.subject.structures]
    if not common:
        return np.empty(0)
    one, two = (v.subject.mask[[v.subject.structures.index(name) for name in common]] for v in (fixed, moving))
    carried = warp(two.astype(np.uint8), back, fixed.subject.shape, order=0) > 0
    axes = tuple(range(1, one.ndim))
    both, total = (one & carried).sum(axes), one.sum(axes) + carried.sum(axes)
    return np.asarray(2 * both[total > 0] / total[total > 0])


def _pictures(pairs: list[Pair], config: Config) -> dict[str, NDArray[np.generic]]:
    """The worst pairs by landmarks (or by Dice), then typical ones."""
    worth = [-p.errors.mean() if len(p.errors) else p.dice.mean() if len(p.dice) else p.inliers for p in pairs]
    order = np.argsort(worth, kind="stable").tolist()
    middle = order[len(order) // 2 :]
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, at in enumerate(dict.fromkeys([*order[: config.pictures], *middle[: config.pictures]])):
        pair = pairs[at]
        fixed, moving = pair.fixed.subject, pair.moving
        shown = warp(moving.subject.image.numpy(), moving.matrix)
        carried = warp(moving.subject.image.numpy(), pair.back, fixed.shape)
        mask = warp(moving.subject.mask.astype(np.uint8), pair.back, fixed.shape, order=0)
        arrays |= {f"fixed_{i}": grey(fixed.image.numpy()), f"moving_{i}": grey(shown), f"warped_{i}": grey(carried)}
        arrays |= {f"outline_fixed_{i}": outline(fixed.mask), f"outline_warped_{i}": outline(mask)}
    return arrays


def outline(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """(K, *S) -> (h, w) as `grey` shows the image: the rims of all structures' shadows."""
    rims = []
    for one in mask:
        shadow = np.asarray(flatten(one.astype(np.float32)), np.float32) > 0
        small = grey(shadow[None].astype(np.float32)) > 127
        inner = small.copy()
        inner[1:] &= small[:-1]
        inner[:-1] &= small[1:]
        inner[:, 1:] &= small[:, :-1]
        inner[:, :-1] &= small[:, 1:]
        rims.append(small & ~inner)
    return np.any(rims, axis=0) if rims else np.zeros(grey(np.zeros((1, *mask.shape[1:]), np.float32)).shape, bool)
