"""Landmarks: annotate one image, or a few, and find the points in the others.

A landmark's vector is the mean, over the annotated images, of the embedding of the patch around it, or of an encoder of
voxels the mean of its voxel's vectors; it is sought over the whole of every other image, upright and moved (see `motion`),
where copying the coordinate fails. A point counts as found where the best place is clearly better than the second best one,
a patch's half or more away. The places found in upright images are kept, in voxels and in mm of the scanner, and so are heat
maps: of encoders of voxels at every voxel.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius.anatomy.embedders import unit
from vesalius.anatomy.field import Peaks, peaks
from vesalius.anatomy.observe import Marks, Observed, View
from vesalius.anatomy.picture import flat_points, flatten, picture
from vesalius.anatomy.rows import Saver, row
from vesalius.anatomy.voxelfield import VoxelField
from vesalius.chance import generator
from vesalius.results import Row
from vesalius.space.warp import inverse, move

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """shots: numbers of annotated images, each drawn `draws` times. near: thresholds of the error, share of the diagonal.
    clear: by how many standard deviations of its map the best place must beat the second best to count as found.
    pictures: heat maps kept: of the worst failures and as many typical ones."""

    shots: tuple[int, ...] = (1, 5)
    draws: int = 5
    near: tuple[float, ...] = (0.05, 0.10)
    clear: float = 0.25
    pictures: int = 3


@dataclass(frozen=True, eq=False)
class Search:
    """What was sought in a view: names (L,), truth (L, ndim) and places (L, ndim) in its voxels, whether found (L,), heat
    (L, cells)."""

    view: View
    names: NDArray[np.str_]
    truth: Array
    places: Array
    found: NDArray[np.bool_]
    heat: Tensor

    @property
    def errors(self) -> Array:
        """(L,) voxels."""
        return np.asarray(np.linalg.norm(self.places - self.truth, axis=1))

    @property
    def millimetres(self) -> Array | None:
        """(L,), measured in the upright image, whose voxels have a known size; None where they have not."""
        back = inverse(self.view.matrix)
        return self.view.subject.mm(move(back, self.places) - move(back, self.truth))


def rows(seen: Observed, config: Config, save: Saver) -> Iterator[Row]:
    """Of each patient: error, error_px, error_mm, within_5, within_10, found, error_found; of a landmark: error, within_5."""
    pictures: list[Search] = []
    for shots in config.shots:
        for condition, views in seen.views.items():
            of_patient: dict[str, list[Search]] = defaultdict(list)
            for draw in range(config.draws):
                for i, view in enumerate(views):
                    known = annotated(seen, i, shots, draw)
                    search = look(seen, view, known, config, (i, draw)) if len(known) == shots else None
                    if search is not None:
                        of_patient[view.subject.patient].append(search)
            for patient, searches in of_patient.items():
                yield from _scores(seen, searches, config, patient=patient, condition=condition, shots=shots)
            everyone = [search for searches in of_patient.values() for search in searches]
            yield from _of_landmarks(seen, everyone, condition, shots)
            if shots == config.shots[0] and (condition == "all" or not pictures):
                pictures = everyone
    if pictures:
        kept = {**_pictures(pictures, config), **_places(seen, config)} if config.pictures else {}
        yield row(seen, "landmarks", "heat", float(len(pictures)), artefact=save(kept))


def annotated(seen: Observed, index: int, shots: int, draw: int) -> list[Marks]:
    """The images whose landmarks are given, none of the patient who is searched: of `seen.annotated`, the same for all
    targets; else of the other subjects. Nested: the first of five is the one."""
    own = seen.upright[index].subject.patient
    pool: Sequence[Marks] = seen.annotated or seen.upright
    order = generator(seen.config.seed, draw, 6).permutation(len(pool))
    others = [pool[i] for i in order if pool[i].subject.patient != own and len(pool[i].names)]
    return others[:shots]


def look(seen: Observed, view: View, known: Sequence[Marks], config: Config, draw: tuple[int, int]) -> Search | None:
    """The landmarks of `view` that one of `known` shows, sought in it; None where there is none."""
    wanted = templates(known)
    names = [name for name in view.names.tolist() if name in wanted]
    if not names:
        return None
    heat, best = sought(seen, view, [wanted[name] for name in names], draw)
    truth = view.points[[view.names.tolist().index(name) for name in names]]
    return Search(view, np.array(names), truth, best.places, clear(best, heat, config.clear), heat)


def sought(seen: Observed, view: View, wanted: Sequence[Tensor], draw: tuple[int, int]) -> tuple[Tensor, Peaks]:
    """N vectors (D,) of length 1 -> (N, cells) cosines in `view`, and their peaks."""
    heat = view.searched.heat(torch.stack(list(wanted)))
    apart = seen.config.side * min(view.subject.shape) / 2
    return heat, peaks(heat, view.searched.lattice, apart, generator(seen.config.seed, *draw, 7))


def templates(known: Sequence[Marks]) -> dict[str, Tensor]:
    """Name -> (D,) of length 1: the mean of the annotated images' vectors."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    for marks in known:
        for name, vector in zip(marks.names.tolist(), marks.vectors, strict=True):
            found[name].append(vector)
    return {name: unit(torch.stack(vectors).mean(0, keepdim=True))[0] for name, vectors in found.items()}


def clear(best: Peaks, heat: Tensor, least: float) -> NDArray[np.bool_]:
    """(N,): whether the margin to the second best is `least` standard deviations of the map; a flat map finds nothing."""
    spread = heat.double().std(dim=1).numpy()
    return np.asarray((best.margins >= least * spread) & (spread > 1e-6))


def _scores(
    seen: Observed, searches: Sequence[Search], config: Config, *, patient: str, condition: str, shots: int
) -> Iterator[Row]:
    """One patient, the mean over landmarks and draws."""
    shares = np.concatenate([s.errors / s.view.subject.diagonal for s in searches])
    pixels, found = (np.concatenate([getattr(s, name) for s in searches]) for name in ("errors", "found"))
    values = {"error": shares.mean(), "error_px": pixels.mean(), "found": found.mean()}
    values |= {f"within_{100 * near:.0f}": (shares <= near).mean() for near in config.near}
    millimetres = [mm for s in searches if (mm := s.millimetres) is not None]
    if millimetres:
        values["error_mm"] = np.concatenate(millimetres).mean()
    if found.any():
        values["error_found"] = shares[found].mean()
    for name, value in values.items():
        yield row(seen, "landmarks", name, float(value), patient=patient, condition=condition, shots=shots)


def _of_landmarks(seen: Observed, searches: Sequence[Search], condition: str, shots: int) -> Iterator[Row]:
    of_name: dict[str, list[float]] = defaultdict(list)
    for search in searches:
        for name, error in zip(search.names.tolist(), search.errors / search.view.subject.diagonal, strict=True):
            of_name[name].append(float(error))
    for name, errors in sorted(of_name.items()):
        about = {"structure": name, "condition": condition, "shots": shots}
        yield row(seen, "landmarks", "error", float(np.mean(errors)), **about)
        yield row(seen, "landmarks", "within_5", float((np.array(errors) <= 0.05).mean()), **about)


def _pictures(searches: Sequence[Search], config: Config) -> dict[str, NDArray[np.generic]]:
    """The worst failures, then typical ones (about the median error); no two of one subject."""
    every = [(s.errors[i] / s.view.subject.diagonal, s, i) for s in searches for i in range(len(s.names))]
    every.sort(key=lambda entry: -entry[0])
    middle = every[len(every) // 2 :]
    chosen = [*_distinct(every, config.pictures), *_distinct(middle, config.pictures)]
    arrays: dict[str, NDArray[np.generic]] = {}
    for n, (error, s, i) in enumerate(chosen):
        cells = s.view.searched.lattice.cells
        arrays |= {f"image_{n}": picture(s.view), f"heat_{n}": _flat_heat(s.heat[i].numpy().reshape(cells))}
        arrays |= {
            f"truth_{n}": flat_points(s.view, s.truth[[i]])[0],
            f"found_{n}": flat_points(s.view, s.places[[i]])[0],
        }
        arrays |= {f"label_{n}": np.array(s.names[i]), f"error_{n}": np.array(error)}
    return arrays


def _places(seen: Observed, config: Config) -> dict[str, NDArray[np.generic]]:
    """Where the landmarks of annotated images lie in each upright image, also where nobody marked them there.

    place_image, place_landmark (M,); place_shots; place_voxel, place_truth (M, ndim) in the prepared image, NaN for unknown;
    place_mm (M, ndim) in the scanner; place_cosine (M,). map_0, map_1 (cells): cosines of the landmark with the largest error
    and of a typical one, by an encoder of voxels; map_affine_0: their cells to mm, map_place_0 which of M they belong to.
    """
    columns: dict[str, list[Any]] = {
        name: [] for name in ("image", "landmark", "voxel", "truth", "mm", "cosine", "shots")
    }
    heats: list[tuple[View, Tensor]] = []
    for i, view in enumerate(seen.upright):
        known = max((annotated(seen, i, shots, 0) for shots in config.shots), key=len)
        wanted = templates(known)
        if not wanted:
            continue
        heat, best = sought(seen, view, list(wanted.values()), (i, 0))
        marked, unknown = (
            dict(zip(view.names.tolist(), view.points, strict=True)),
            np.full(len(view.subject.shape), np.nan),
        )
        columns["image"] += [view.subject.id] * len(wanted)
        columns["landmark"] += list(wanted)
        columns["voxel"] += list(best.places)
        columns["truth"] += [marked.get(name, unknown) for name in wanted]
        columns["mm"] += list(scanner(view.subject.affine, best.places))
        columns["cosine"] += best.cosines.tolist()
        columns["shots"] += [len(known)] * len(wanted)
        heats += [(view, one) for one in heat] if isinstance(view.fine, VoxelField) else []
    arrays: dict[str, NDArray[np.generic]] = {f"place_{name}": np.array(values) for name, values in columns.items()}
    if heats:
        off = np.linalg.norm(np.array(columns["voxel"]) - np.array(columns["truth"]), axis=1)
        worst = np.argsort(np.where(np.isfinite(off), -off, np.inf), kind="stable")
        chosen = dict.fromkeys((int(worst[0]), int(worst[np.isfinite(off).sum() // 2])))
        for n, at in enumerate(chosen):
            view, one = heats[at]
            lattice = view.searched.lattice
            arrays |= {
                f"map_{n}": one.numpy().reshape(lattice.cells).astype(np.float16),
                f"map_place_{n}": np.array(at),
            }
            if view.subject.affine is not None:
                arrays[f"map_affine_{n}"] = view.subject.affine @ lattice.affine
    return arrays


def scanner(affine: Array | None, voxels: Array) -> Array:
    """(M, ndim) voxels -> (M, ndim) RAS+ mm; NaN where the image does not say how it lay."""
    return np.full(voxels.shape, np.nan) if affine is None else move(affine[:-1], voxels)


def _distinct(every: Sequence[tuple[float, Search, int]], count: int) -> list[tuple[float, Search, int]]:
    kept: dict[str, tuple[float, Search, int]] = {}
    for entry in every:
        if len(kept) < count:
            kept.setdefault(entry[1].view.subject.id, entry)
    return list(kept.values())


def _flat_heat(heat: NDArray[np.generic]) -> NDArray[np.float32]:
    """A map of cells as `picture` shows the image: of a volume the highest value from front to back."""
    return np.asarray(flatten(heat) if heat.ndim == 2 else heat.max(1).T[::-1], np.float32)
