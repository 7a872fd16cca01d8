"""Was the test seen before? Test patients among those a run was pretrained on, test images among those trained on.

A run's folder keeps keyed hashes of its pretraining patients beside their key (patients.json), so the patients of a test
split are hashed with that key and looked up: names are compared where the run had the same data set, or where images
without a data set of their own (a folder, a manifest) meet any other, since these may be the same files. Where a folder's
patients were unknown, its files' names are looked up instead.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from vesalius import checkpoint, zoo
from vesalius.data import sidecar
from vesalius.data.cache import key_hash
from vesalius.data.datasets import Dataset, facts, names
from vesalius.data.duplicates import near_pairs, thumbnail
from vesalius.data.scan import Array
from vesalius.data.splits import plain
from vesalius.errors import DataError
from vesalius.features.subjects import Subject
from vesalius.progress import say

OWN = re.compile(r"(encoder|stage\d+)\.safetensors")  # what a run writes beside its sidecar; an export may lie anywhere
OPEN = frozenset({"folder", "manifest"})  # anyone's images
KIN = (  # the same images under other names
    frozenset({"chestxray14", "chestx_det", "siim_acr"}),
    frozenset({"lidc_idri", "luna16"}),
    frozenset({"lits", "msd"}),
    frozenset({"brats18", "msd"}),
    frozenset({"vindr_cxr", "vindr_ribcxr"}),
)
DEPTH = 4  # of a path below the folder that a run was pretrained on
Splits = tuple[str, str]


@dataclass(frozen=True)
class Pretraining:
    """Keyed hashes of a run's patients, trained on and watched: a set for each of its data sets, with the data set's name.

    A sidecar of an older version does not say of which data set a patient was: one set then has all their names.
    """

    key: bytes
    known: tuple[tuple[frozenset[str], frozenset[str]], ...]

    @property
    def sources(self) -> frozenset[str]:
        """The names of all data sets."""
        return frozenset().union(*(names for names, _ in self.known))


class Guard:
    """Made before anything is trained; `allowed`: a leak becomes a stamp on every row, and no error.

    DataError: a test patient was in a run's pretraining, or a sidecar is broken. What cannot be checked is said.
    """

    def __init__(
        self, runs: Mapping[str, str | Path], data: Dataset, test: Sequence[str], splits: Splits, allowed: bool = False
    ) -> None:
        self._splits, self._allowed = splits, allowed
        self._copies: str | None = None
        self._seen = {name: self._of_run(name, Path(run), data, test) for name, run in runs.items()}

    def stamp(self, run: str, pool: Sequence[Subject], test: Sequence[Subject]) -> str:
        """What every row of `run` has to say, "" for nothing. The images are compared once. DataError: exact copies."""
        if self._copies is None:
            self._copies = self._of_images(pool, test)
        return "; ".join(filter(None, (self._seen.get(run, ""), self._copies)))

    def _of_run(self, name: str, run: Path, data: Dataset, test: Sequence[str]) -> str:
        found, same = set[str](), True
        for known in pretraining(run):
            why = known if isinstance(known, str) else _kinship(data, known)
            if why:
                say(f"warning: {name}: whether its pretraining saw these patients cannot be checked: {why}")
            if isinstance(known, Pretraining):
                mine = seen(data, test, known)
                found, same = found | mine, same and (not mine or _name(data) in known.sources)
        everyone = len({data.patient(id) for id in test})
        how = "were in its pretraining" if same else "go by names that were in its pretraining"
        reason = f"{len(found)} of {everyone} patients of {self._splits[1]} {how}"
        return self._leak(f"pretraining: {len(found)} patients", reason, run) if found else ""

    def _of_images(self, pool: Sequence[Subject], test: Sequence[Subject]) -> str:
        copies, near = copied(pool, test)
        train, asked = self._splits
        if near:
            say(
                f"warning: {near} of {len(test)} images of {asked} look like images of {train}: copies, the other eye, or "
                "much alike; vesalius inspect names them"
            )
        return (
            self._leak(f"copies: {copies} images", f"{copies} images of {asked} are in {train} too") if copies else ""
        )

    def _leak(self, stamp: str, reason: str, file: Path | None = None) -> str:
        if not self._allowed:
            others = "test on others, or pretrain with --exclude-patients" if file else "Mend the splits"
            remedy = f"{others[0].upper()}{others[1:]}; with --allow-leak it is measured, and every row says so."
            raise DataError(reason, file=file, remedy=remedy)
        say(f"warning: {f'{file}: ' if file else ''}{reason}; every row says so")
        return stamp


def pretraining(run: Path, below: tuple[Path, ...] = ()) -> Iterator[Pretraining | str]:
    """Of an encoder, and of those that it was started from: the patients, or in words why they are not known.

    run: folder or file. below: folders seen on the way. DataError: a sidecar that is broken.
    """
    folder = (run if run.is_dir() else run.parent).resolve()
    path = folder / sidecar.FILE
    if not (run.is_dir() or OWN.fullmatch(run.name)) or not path.is_file() or folder in below:
        yield f"the {sidecar.FILE} of {run} is not there"
        return
    card = checkpoint.describe(zoo.encoder_file(run))
    yield _read(path, frozenset(str(source["dataset"]) for source in card.data))
    if card.parent is not None:
        config = folder / "config.json"
        start = _object(config).get("start") if config.is_file() else None
        yield from pretraining(Path(str(start or card.parent)).expanduser(), (*below, folder))


def seen(data: Dataset, test: Sequence[str], run: Pretraining) -> set[str]:
    """Patients of the images `test`, raw as the data set names them, who are among those of `run`."""
    own, found = _name(data), set()
    for sources, patients in run.known:
        if sources and own not in sources and not _open({own}) and not _open(sources):
            continue  # two published data sets: equal names are chance
        for id in test:
            patient, path = data.patient(id), data.path(id)
            spelt = {patient} if sources == {own} - OPEN else {patient, plain(patient)}
            files = {"/".join(path.parts[-n:]) for n in range(1, DEPTH + 1)} if path and "folder" in sources else set()
            if any(key_hash(run.key, name) in patients for name in (*spelt, *files)):
                found.add(patient)
    return found


def copied(pool: Sequence[Subject], test: Sequence[Subject]) -> tuple[int, int]:
    """Images of `test` that are in `pool` voxel by voxel, and others that look like one there. Constant images: never."""
    known, asked = ([s.pixels for s in some if s.pixels.min() < s.pixels.max()] for some in (pool, test))
    contents = {_content(pixels) for pixels in known}
    rest = [pixels for pixels in asked if _content(pixels) not in contents]
    if not known or not rest:
        return len(asked) - len(rest), 0
    pairs = near_pairs(np.stack([thumbnail(pixels) for pixels in (*known, *rest)]))
    return len(asked) - len(rest), len({j for i, j in pairs if i < len(known) <= j})


def _content(pixels: Array) -> bytes:
    words = f"{pixels.shape} {pixels.dtype.str}".encode()
    return blake2b(words + np.ascontiguousarray(pixels).tobytes(), digest_size=16).digest()


def _name(data: Dataset) -> str:
    """As cards name it."""
    known = facts(data)
    return known.name if known else type(data).__module__


def _open(sources: "set[str] | frozenset[str]") -> bool:
    """Whether one may hold the images of another data set: a folder, a manifest, a module of the user's own."""
    return bool(sources & OPEN or sources - set(names()))


def _kinship(data: Dataset, known: Pretraining) -> str:
    own = _name(data)
    kin = {other for family in KIN if own in family for other in known.sources & family} - {own}
    if not kin:
        return ""
    return f"{own} and {', '.join(sorted(kin))} share images under other names"


def _read(path: Path, sources: frozenset[str]) -> Pretraining:
    found = _object(path)
    try:
        key, parts = bytes.fromhex(found["key"]), found.get("sources")
        named = [({str(part["dataset"])}, part) for part in parts] if parts is not None else [(sources, found)]
        known = tuple((frozenset(names), frozenset((*part["train"], *part["watch"]))) for names, part in named)
        hashes = (patient for _, patients in known for patient in patients)
        if not 1 <= len(key) <= 64 or not all(isinstance(patient, str) for patient in hashes):
            raise ValueError("not a key and hashes")
    except (KeyError, TypeError, ValueError) as error:
        reason = "is no list of hashed patients (key, train, watch)"
        raise DataError(reason, file=path, remedy="Restore it from the run.") from error
    return Pretraining(key, known)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError("cannot be read as JSON", file=path, remedy="Restore it from the run.") from error
    if not isinstance(found, dict):
        raise DataError("holds no JSON object", file=path, remedy="Restore it from the run.")
    return found
