"""LUNA16: 888 chest CT of LIDC-IDRI with slices of at most 2.5 mm, and the places of 1,186 lung nodules in them.

Setio et al., Medical Image Analysis 2017 (luna16.grand-challenge.org, CC BY 4.0). `subset0` to `subset9`, which are the ten
official folds, hold `SERIES.mhd` and `SERIES.raw`; `annotations.csv` the nodules: seriesuid, coordX, coordY, coordZ (mm in
ITK's world, LPS), diameter_mm; `candidates_V2.csv` some 750,000 places that may be nodules, each with its class, 1 or 0.

PCRLv2 pretrains on subsets 0 to 6 (623 scans) and holds out 7 to 9: here train and test, so pretrain with `only=train`. Its
scans are resampled to 1 mm: `--spacing 1 1 1 --upsample`, without which thicker slices stay as they are. All encoders here see
-1350 to 1000 HU where it clips at -1000 and 1000. Its filter for crops without lung (more than 0.15 is not air) compares with
the wrong volume, and rejects none of 96 voxels a side. Repaired it is `--method.tissue 0 0.15`, of a crop at the size that
the network sees.

`task=candidates` is its classification of nodules: an image is a cube of 48 mm round a candidate, so 48 voxels at 1 mm, air
where it reaches out of the scan. Its author speaks of positives that are listed twice, and of two negatives a positive; the
lists were not published. Here nothing is listed twice: the share of positives, a third, is the same. Negatives are drawn
evenly from all scans of a subset, by a hash of their names. CPM needs all of those of the test (`test_negatives=0`), some
225,000: where one in hundreds was drawn, nothing is known of the first false positives. Ids are in the order of scans, each
of which a process reads once. From cubes `evaluate` cuts nothing: steps that crop an encoder's images to the body are left out.

Who a scan is of is not in the download: each counts as a patient. LIDC-IDRI has 8 more CT than patients. Not read: masks of
the lungs, `candidates.csv`, and the irrelevant findings (`annotations_excluded.csv`), which the challenge ignores when false
positives are counted. Could not be checked against the original: counts, and that every candidate of class 1 is in a nodule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from vesalius.data.contoured import once
from vesalius.data.datasets import Facts, OnDisk
from vesalius.data.footprint import content, footprint
from vesalius.data.scan import Array, Labels, Scan
from vesalius.data.tables import near, read_table
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError, SettingError
from vesalius.space import affine as space_affine

FACTS = Facts(
    name="luna16",
    title="LUNA16",
    modality="CT",
    ndim=3,
    images=888,
    patients=888,
    licence="CC BY 4.0; the scans are of LIDC-IDRI, CC BY 3.0",
    cite="Setio et al., Validation, comparison, and combination of algorithms for automatic detection of pulmonary nodules "
    "in computed tomography images: the LUNA16 challenge, Medical Image Analysis 2017",
)
TASKS = ("scans", "candidates")
NODULE = "nodule"
SIDE = 48.0  # mm: of the cube round a candidate, by PCRLv2's author
AIR = -1000  # HU: what is beyond the scan
SUBSET = re.compile(r"(?:^|/)subset(\d)/")
PLACE = ("seriesuid", "coordX", "coordY", "coordZ")
TO_RAS = np.array((-1.0, -1.0, 1.0))
Point = tuple[float, ...]  # mm, LPS as in the tables


@dataclass(frozen=True)
class Dataset(OnDisk):
    """Ids are the series, or SERIES/X,Y,Z as the table of candidates writes them. A partial download works.

    task: `scans`, or `candidates` for classification. held_out: subsets that are the test (one: an official fold).
    negatives: so many candidates of class 0 for each of class 1, drawn with `seed`; 0: all of them. test_negatives: the same
    for the subsets that are held out, if not as in the others.
    """

    root: Path
    task: str = "scans"
    held_out: tuple[int, ...] = (7, 8, 9)
    negatives: float = 2.0
    test_negatives: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise SettingError(f"task {self.task!r}", remedy=near(self.task, TASKS, "Tasks"))
        asked = self.negatives, self.test_negatives or 0
        if not set(self.held_out) <= set(range(10)) or not all(0 <= number < float("inf") for number in asked):
            reason = f"held_out={self.held_out}, negatives={self.negatives}, test_negatives={self.test_negatives}"
            raise SettingError(reason, remedy="Subsets are 0 to 9, and negatives a number of at least 0.")

    @cached_property
    def _scans(self) -> dict[str, str]:
        """Series -> path below root. DataError: none lies in a folder of a subset."""
        found = [path for path in image_files(self.root, (".mhd",)) if SUBSET.search(path)]
        if not found:
            remedy = "Give the folder that holds subset0 to subset9."
            raise DataError("no subset0 to subset9 with .mhd files", file=self.root, remedy=remedy)
        return once(((stem(path), path) for path in found), self.root)

    def subset(self, id: str, /) -> int:
        """The official fold, 0 to 9, of a scan or candidate."""
        match = SUBSET.search(self._scans[self.patient(id)])
        assert match is not None
        return int(match[1])

    @cached_property
    def files(self) -> dict[str, str]:
        """Id -> path of the scan below root."""
        return self._scans if self.task == "scans" else {id: self._scans[_series(id)] for id in self._candidates}

    def patient(self, id: str, /) -> str:
        """The series: nothing says whose it is."""
        return _series(id)

    def meta(self, id: str, /) -> dict[str, str]:
        """CT."""
        return {"modality": "CT"}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which subsets are absent."""
        absent = sorted(set(range(10)) - {self.subset(series) for series in self._scans})
        return (f"Subsets {', '.join(map(str, absent))} are not here.",) if absent else ()

    @cached_property
    def _nodules(self) -> dict[str, list[tuple[Point, float]]]:
        """Series -> place and diameter (mm) of its nodules, of all scans whether they are here or not."""
        found: dict[str, list[tuple[Point, float]]] = {}
        path = self.root / "annotations.csv"
        for row in read_table(path, (*PLACE, "diameter_mm")):
            *place, diameter = _numbers((*(row[name] for name in PLACE[1:]), row["diameter_mm"]), path)
            found.setdefault(row["seriesuid"], []).append((tuple(place), diameter))
        return found

    @cached_property
    def _all_candidates(self) -> dict[str, bool]:
        """Id -> whether it is a nodule, of the scans that are here. DataError: none is, or a class that is not 0 or 1."""
        found: dict[str, bool] = {}
        path = self.root / "candidates_V2.csv"
        for row in read_table(path, (*PLACE, "class")):
            if row["seriesuid"] in self._scans:
                id = f"{row['seriesuid']}/{row['coordX']},{row['coordY']},{row['coordZ']}"
                if row["class"] not in ("0", "1"):
                    raise DataError(f"class {row['class']!r} of {id}", file=path, remedy="Download it again.")
                found[id] = found.get(id, False) or row["class"] == "1"
        if not found:
            raise DataError("names no scan that is here", file=path, remedy="Unpack subset0.zip and the others.")
        return found

    @cached_property
    def _candidates(self) -> dict[str, bool]:
        """Those that are kept: all positives, and as many negatives as are asked for, subset by subset."""
        parts: dict[int, dict[str, bool]] = {}
        for id, nodule in self._all_candidates.items():
            parts.setdefault(self.subset(id), {})[id] = nodule
        kept = {id for subset, part in parts.items() for id in _drawn(part, self._share(subset), self.seed)}
        return {id: nodule for id, nodule in self._all_candidates.items() if nodule or id in kept}

    def _share(self, subset: int) -> float:
        """Of negatives, for each positive; 0: all."""
        given = self.test_negatives if subset in self.held_out else None
        return self.negatives if given is None else given

    def content(self, id: str, /) -> str:
        """Of the scan's bytes, and of the place in it."""
        path = self.path(id)
        whole = _content(path, footprint(path))
        if self.task == "scans":
            return whole
        return blake2b(f"{whole} {id.partition('/')[2]} {SIDE}".encode(), digest_size=16).hexdigest()

    def read(self, id: str, /) -> Scan:
        """The scan as stored, or the cube of it round a candidate. DataError: that is not in the scan."""
        path = self.path(id)
        scan = replace(_volume(path, footprint(path)), id=id, patient=self.patient(id), meta=self.meta(id))
        return scan if self.task == "scans" else _cube(scan, _voxels(scan, [_place(id, path)])[0])

    def labels(self, id: str, /) -> Labels:
        """Of a scan boxes round its nodules, of a candidate its class."""
        path = self.path(id)
        if self.task == "candidates":
            return Labels({NODULE: float(self._candidates[id])})
        nodules = self._nodules.get(id, [])
        if not nodules:
            return Labels()
        scan = _volume(path, footprint(path))
        radius = np.array([[diameter / 2] for _, diameter in nodules]) / np.array(scan.spacing)
        middle = _voxels(scan, [place for place, _ in nodules]) + 0.5  # a box ends at faces of voxels, not at centres
        return Labels(boxes={NODULE: np.hstack([middle - radius, middle + radius])})

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Train, and the subsets that are held out as test; a part of which nothing is here is left out."""
        test = {id for id in self.ids if self.subset(id) in self.held_out}
        parts = {"train": tuple(id for id in self.ids if id not in test), "test": tuple(sorted(test))}
        return {name: part for name, part in parts.items() if part}

    @property
    def cubes(self) -> bool:
        """Whether images are cut out of scans."""
        return self.task == "candidates"

    def lesions(self, scan: str, /) -> int:
        """How many nodules a series holds, those without a candidate too."""
        return len(self._nodules.get(scan, ()))

    def lesion(self, id: str, /) -> int | None:
        """The number, in its scan, of the nodule that a candidate is in: the nearest by its own radius. None for class 0."""
        path = self.path(id)
        if not self._candidates[id]:
            return None
        nodules = self._nodules.get(_series(id))
        if not nodules:
            reason = f"has no nodule of {_series(id)}, in which there is a candidate of class 1"
            raise DataError(reason, file=self.root / "annotations.csv", remedy="Download it again.")
        here = np.array(_place(id, path))
        return int(np.argmin([np.linalg.norm(here - place) / diameter for place, diameter in nodules]))

    def complete(self, scan: str, /) -> bool:
        """Whether all candidates of a series are there, none left out by the draw."""
        return scan not in self._thinned

    @cached_property
    def _thinned(self) -> frozenset[str]:
        """Series of which the draw left candidates out."""
        return frozenset(map(_series, self._all_candidates.keys() - self._candidates.keys()))


def _series(id: str) -> str:
    return id.partition("/")[0]


def _place(id: str, path: Path) -> Point:
    """Of a candidate, mm, LPS."""
    return _numbers(id.partition("/")[2].split(","), path)


def _numbers(cells: "tuple[str, ...] | list[str]", path: Path) -> Point:
    try:
        return tuple(float(cell) for cell in cells)
    except ValueError:
        reason = f"{', '.join(cells)} are not all numbers"
        raise DataError(reason, file=path, remedy="Download the table again.") from None


def _drawn(part: Mapping[str, bool], negatives: float, seed: int) -> list[str]:
    """Negatives: one of every scan, then a second of every scan, and so on, until there are so many a positive; 0: all."""
    if not negatives:
        return [id for id, nodule in part.items() if not nodule]
    order: dict[str, list[tuple[bytes, str]]] = {}
    for id, nodule in part.items():
        if not nodule:
            key = blake2b(id.encode(), key=str(seed).encode(), digest_size=8).digest()
            order.setdefault(_series(id), []).append((key, id))
    ranked = sorted((rank, *pair) for own in order.values() for rank, pair in enumerate(sorted(own)))
    return [id for _, _, id in ranked[: round(negatives * sum(part.values()))]]


@lru_cache(maxsize=1)
def _volume(path: Path, state: tuple[int, int]) -> Scan:
    """A scan as stored: hundreds of candidates in a row are of one. state: its footprint, since files may change."""
    from vesalius.data.files import read  # Pillow loads with it

    scan = read(path)
    if scan.affine is None:
        raise DataError("does not say where its voxels lie", file=path, remedy="Download it again.")
    return scan


@lru_cache(maxsize=1024)
def _content(path: Path, state: tuple[int, int]) -> str:
    return content(path)


def _voxels(scan: Scan, places: list[Point]) -> Array:
    """(N, 3) voxel coordinates, not rounded, of places in mm, LPS."""
    assert scan.affine is not None
    return space_affine.to_voxel(scan.affine, np.array(places) * TO_RAS)


def _cube(scan: Scan, middle: Array) -> Scan:
    """The part of `scan` that is SIDE mm wide round a voxel, AIR where it reaches out. DataError: that is not in the scan."""
    assert scan.affine is not None
    assert scan.spacing is not None
    shape = np.array(scan.shape)
    if not ((middle >= -0.5) & (middle <= shape - 0.5)).all():
        raise DataError("lies outside of its scan", file=scan.id, remedy="Download scan and tables again.")
    sides = np.maximum(np.rint(SIDE / np.array(scan.spacing)), 2).astype(int)
    start = np.floor(middle + 1 - sides / 2).astype(int)
    stop = start + sides
    inside = tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(start, stop, shape, strict=True))
    around = [(max(-a, 0), max(b - n, 0)) for a, b, n in zip(start, stop, shape, strict=True)]
    image = np.pad(scan.image[(slice(None), *inside)], [(0, 0), *around], constant_values=AIR)
    return replace(scan, image=image, affine=space_affine.cropped(scan.affine, tuple(start.tolist())))
