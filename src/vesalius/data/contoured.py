"""What data sets of volumes with label maps share: a label map beside an image numbers its structures, voxel by voxel."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.chance import generator
from vesalius.data.datasets import OnDisk
from vesalius.data.hounsfield import believed
from vesalius.data.masks import read_volume_map, volume_labels
from vesalius.data.scan import Array, Labels, Scan
from vesalius.data.walk import image_files, stem
from vesalius.errors import DataError, SettingError

Ids = tuple[str, ...]


class Contoured(OnDisk):
    """A volume a patient, where a subclass says no other; some have a label map."""

    @property
    @abstractmethod
    def structures(self) -> Mapping[int, str]:
        """Value in a label map -> what it is; without the background."""

    @property
    @abstractmethod
    def maps(self) -> Mapping[str, str]:
        """Id -> label map, a path below root; volumes without are absent."""

    @property
    def regions(self) -> Mapping[str, Collection[int]]:
        """Structure -> the values it is made of: its own, where a subclass says no other."""
        return {name: (value,) for value, name in self.structures.items()}

    def patient(self, id: str, /) -> str:
        """One volume a patient: its id."""
        self.path(id)
        return id

    def label_map(self, id: str, /) -> Array | None:
        """(x, y, z) uint8, a value of `structures` or 0; None without a label map. `labels` holds K times as much."""
        self.path(id)
        return read_volume_map(self.root / self.maps[id], self.read(id), self.structures) if id in self.maps else None

    def unknown(self, id: str, values: Array, /) -> Collection[str]:
        """Structures that were not contoured in this volume: none, where a subclass says no other."""
        return ()

    def labels(self, id: str, /) -> Labels:
        """Masks of all structures, (K, x, y, z); nothing at all without a label map."""
        values = self.label_map(id)
        return Labels() if values is None else volume_labels(values, self.regions, self.unknown(id, values))

    def named(self, scan: Scan, id: str) -> Scan:
        """A scan that a subclass read in its own way, with id, patient and what is known about it."""
        told = self.meta(id)
        meta, unit = {**scan.meta, **told}, believed(scan, told)
        return replace(scan, id=id, patient=self.patient(id), meta=meta, unit=unit)

    def labelled_first(self, **parts: Iterable[str]) -> dict[str, Ids]:
        """Parts that hold something, each with the volumes that have a label map; `unlabelled` holds all others."""
        found = {name: tuple(sorted(id for id in part if id in self.maps)) for name, part in parts.items()}
        found["unlabelled"] = tuple(id for id in self.ids if id not in self.maps)
        return {name: part for name, part in found.items() if part}


def volumes(root: Path, folder: str) -> dict[str, str]:
    """File name without suffix -> path below root, of one folder; {} where it is not there or empty. DataError: twice."""
    home = root / folder
    found = image_files(home) if home.is_dir() and any(home.iterdir()) else ()
    return once(((stem(file), f"{folder}/{file}") for file in found), home)


def once(named: Iterable[tuple[str, str]], folder: Path) -> dict[str, str]:
    """Pairs of name and path as a mapping. DataError for a name that comes twice."""
    paths: dict[str, str] = {}
    for name, path in named:
        if paths.setdefault(name, path) != path:
            raise DataError(f"has {name} twice: {paths[name]} and {path}", file=folder, remedy="Remove one of them.")
    return paths


def numbered(found: Any, path: Path) -> dict[int, str]:
    """{"0": "background", "1": "liver"} as a JSON file has it -> {1: "liver"}, sorted. DataError: of another form."""
    try:
        named = {int(value): str(name) for value, name in found.items() if int(value) != 0}
    except (AttributeError, TypeError, ValueError):
        named = {}
    if not named or min(named) < 0 or len(set(named.values())) < len(named):
        remedy = 'They are written {"0": "background", "1": "liver"}, with each name once.'
        raise DataError("does not say which structures its labels are", file=path, remedy=remedy)
    return dict(sorted(named.items()))


def one_fold(ids: Sequence[str], fold: int, folds: int, seed: int, valid: int = 1) -> dict[str, Ids]:
    """{"train", "valid", "test"} of one fold: scikit-learn's KFold, shuffled, over the sorted ids; then `valid` of its
    training part are drawn for validation. SettingError where there is no such fold."""
    from sklearn.model_selection import KFold  # takes a second to import

    if not 2 <= folds <= len(ids) - valid or not 0 <= fold < folds:
        reason = f"fold={fold} of folds={folds} with {len(ids):,} labelled volumes"
        raise SettingError(reason, remedy="Folds count from 0, there are 2 or more, and no more than volumes.")
    order = sorted(ids)
    train, test = list(KFold(folds, shuffle=True, random_state=seed).split(order))[fold]
    held = set(generator(seed, fold).choice(train, valid, replace=False).tolist())
    parts = {"train": [i for i in train if i not in held], "valid": sorted(held), "test": test}
    return {name: tuple(order[i] for i in part) for name, part in parts.items()}
