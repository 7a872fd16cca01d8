"""Correspondence: does a point find itself? (Adam, Fig. 5.1, there lines between two images; here a number too.)

Within a patient the truth is known: the image is moved (see `motion`), and each point of the body looks for its best match
in the moved image. Between patients (upright, or one of them moved) truth is known by organs: a match is right where
both ends lie in the same structures. The paper draws matches of cosine 0.8 or more; a network whose vectors are all
alike has nothing but those, so the share that is right is given beside the share that is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.anatomy.field import peaks
from vesalius.anatomy.observe import Observed, View, within
from vesalius.anatomy.picture import flat_points, picture
from vesalius.anatomy.rows import Saver, row
from vesalius.chance import generator
from vesalius.results import Row
from vesalius.space.warp import inverse, move

Array = NDArray[np.float64]
NEAR = 0.05  # of the diagonal


@dataclass(frozen=True)
class Config:
    """alike: the cosine from which on a match is drawn (Adam: 0.8). partners: other patients that each is matched with.
    pictures: pairs kept as pictures: the worst ones and as many typical ones."""

    alike: float = 0.8
    partners: int = 2
    pictures: int = 2


@dataclass(frozen=True, eq=False)
class Matches:
    """Of M points of the body in view `a`: where they are (M, ndim), their match in `b` (M, ndim), its cosine (M,), and
    whether both ends lie in the same structures: 1, 0, or -1 where that is not known (M,)."""

    a: View
    b: View
    start: Array
    end: Array
    cosines: Array
    right: NDArray[np.int64]


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """error, error_px, error_mm, within_5 under every motion; matched, same_structure, same_structure_all of others."""
    for condition, views in seen.views.items():
        if condition != "upright":
            for i, view in enumerate(views):
                yield from _of_self(seen, seen.upright[i], view, i)
    pairs: list[Matches] = []
    for condition in ("upright", "all"):
        for i in range(len(seen.upright) if condition in seen.views else 0):
            found = [match(seen, i, j, condition) for j in partners(seen, i, config.partners)]
            yield from _of_others(seen, condition, found, config)
            pairs += found if condition == "upright" else []
    if pairs:
        yield row(seen, "correspondence", "matches", float(len(pairs)), artefact=save(_pictures(pairs, config)))


def _of_self(seen: Observed, upright: View, moved: View, index: int) -> Iterator[Row]:
    """The points of the body whose place is still in the moved image, against where they truly are."""
    subject = upright.subject
    points = upright.field.lattice.middles
    truth = move(moved.matrix, points)
    shown = upright.field.body & np.all((truth >= 0) & (truth <= np.array(subject.shape) - 1), axis=1)
    if not shown.any():
        return
    heat = moved.field.heat(upright.field.vectors[shown])
    found = peaks(heat, moved.field.lattice, 0.0, generator(seen.config.seed, index, 3)).places
    off = found - truth[shown]
    pixels = np.linalg.norm(off, axis=1)
    about = {"patient": subject.patient, "condition": moved.condition}
    yield row(seen, "correspondence", "error", float(pixels.mean() / subject.diagonal), **about)
    yield row(seen, "correspondence", "error_px", float(pixels.mean()), **about)
    yield row(seen, "correspondence", "within_5", float((pixels <= NEAR * subject.diagonal).mean()), **about)
    # A moved image has voxels of another size, so the error is measured where both ends lie in the upright one.
    back = inverse(moved.matrix)
    millimetres = subject.mm(move(back, found) - points[shown])
    if millimetres is not None:
        yield row(seen, "correspondence", "error_mm", float(millimetres.mean()), **about)


def partners(seen: Observed, index: int, count: int) -> list[int]:
    """Places of `count` subjects of other patients, the same for every encoder."""
    own = seen.upright[index].subject.patient
    others = [i for i, view in enumerate(seen.upright) if view.subject.patient != own]
    chosen = generator(seen.config.seed, index, 4).permutation(len(others))[:count]
    return [others[i] for i in chosen]


def match(seen: Observed, i: int, j: int, condition: str) -> Matches:
    """Points of subject i, upright, in subject j under `condition`."""
    a, b = seen.upright[i], seen.views[condition][j]
    shown = a.field.body
    found = peaks(b.field.heat(a.field.vectors[shown]), b.field.lattice, 0.0, generator(seen.config.seed, i, j, 5))
    start = a.field.lattice.middles[shown]
    here, there = organs(a, start), organs(b, found.places)
    right = np.full(len(start), -1)
    if here.shape[1] and a.subject.structures == b.subject.structures:
        known = here.any(1)  # a point in no structure tells nothing
        right[known] = np.all(here == there, axis=1)[known]
    return Matches(a, b, start, found.places, found.cosines, right)


def organs(view: View, points: Array) -> NDArray[np.bool_]:
    """(M, ndim) voxels of a view -> (M, K): which structures hold each point."""
    return within(view.subject.mask, view.matrix, points)


def _of_others(seen: Observed, condition: str, found: list[Matches], config: Config) -> Iterator[Row]:
    if not found:
        return
    cosines, right = (np.concatenate([getattr(m, name) for m in found]) for name in ("cosines", "right"))
    alike = cosines >= config.alike
    about = {"patient": found[0].a.subject.patient, "condition": condition}
    if len(cosines):
        yield row(seen, "correspondence", "matched", float(alike.mean()), **about)
    for name, chosen in (("same_structure_all", right >= 0), ("same_structure", (right >= 0) & alike)):
        if chosen.any():
            yield row(seen, "correspondence", name, float(right[chosen].mean()), **about)


def _pictures(pairs: list[Matches], config: Config) -> dict[str, NDArray[np.generic]]:
    """The worst pairs by the share of matches in the right structures, then typical ones (about the median)."""
    share = [float(m.right[m.right >= 0].mean()) if (m.right >= 0).any() else float(m.cosines.mean()) for m in pairs]
    order = np.argsort(share, kind="stable").tolist()
    middle = max(0, len(order) // 2 - config.pictures // 2)
    chosen = dict.fromkeys([*order[: config.pictures], *order[middle : middle + config.pictures]])
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, at in enumerate(chosen):
        m = pairs[at]
        kept = m.cosines >= config.alike
        ends = [flat_points(view, points[kept]) for view, points in ((m.a, m.start), (m.b, m.end))]
        arrays |= {f"a_{i}": picture(m.a), f"b_{i}": picture(m.b), f"lines_{i}": np.concatenate(ends, axis=1)}
        arrays |= {f"cosine_{i}": m.cosines[kept].astype(np.float32), f"right_{i}": m.right[kept].astype(np.int8)}
    return arrays
