"""Fill the cache: parallel, stoppable at any moment, resumable; no bad file stops it or vanishes in silence."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any, cast

from vesalius.data import ledger
from vesalius.data.bits import pack_mask
from vesalius.data.cache import Cache, Entry, about, array_path, body_path, header, key_hash, pack, read_index, salt_of
from vesalius.data.datasets import Dataset
from vesalius.data.footprint import footprint
from vesalius.data.prepare import Prepared, prepare
from vesalius.data.steps import Step
from vesalius.data.workers import Crashed, run
from vesalius.errors import DataError

CHUNK = 16  # scans a task: an index line waits for at most this many
LOST = 16  # scans from everywhere; if not one of them can be prepared, the rest are not tried
SAMPLE = 8  # scans made before the disk is judged too small for the rest
Progress = Callable[[int, int], None]
Aside = tuple[str, Path | None, str]


@dataclass(frozen=True)
class Built:
    """A cache, and how it came to be. set_aside: (id, path, reason). reused, made: scans."""

    cache: Cache
    set_aside: tuple[Aside, ...]
    reused: int
    made: int


@dataclass(frozen=True)
class Forecast:
    """What preparing would take: bytes on disk and seconds with all processes, judged from `sampled` readable scans."""

    bytes: int
    seconds: float
    sampled: int


@dataclass(frozen=True)
class Job:
    """One scan from its file into the cache."""

    dataset: Dataset
    steps: tuple[Step, ...]
    folder: Path
    salt: bytes

    def __call__(self, id: str) -> Entry | str:
        """The entry, or why there is none. DataError only where the cache cannot be written."""
        try:
            source = self.source(id)  # before reading, so that a change meanwhile is seen next time
            path = Path(array_path(self.folder, content := self.content(id)))
            mask = Path(body_path(self.folder, content))
            if found := stored(path, mask):
                return self.entry(id, content, found, path.stat().st_size, source)
            prepared, body, frame = packed(prepare(self.dataset.read(id), self.steps))
            entry = self.entry(id, content, about(prepared, len(body)), len(frame), source)
        except DataError as error:
            return f"{error.reason}. {error.remedy}".removesuffix(". ")
        except Exception as error:  # noqa: BLE001 - a decoder may raise anything, and one file must not stop the rest
            return " ".join(f"{type(error).__name__}: {error}".split())
        if body:  # first: an array that is there says that its mask is
            ledger.write(mask, body, self.folder)
        ledger.write(path, frame, self.folder)
        return entry

    def entry(self, id: str, content: str, facts: Mapping[str, Any], stored: int, source: tuple[int, int]) -> Entry:
        """The index line: what is known of the array, and whose it is, hashed."""
        shape, spacing = tuple(facts["shape"]), facts["spacing"] and tuple(facts["spacing"])
        body = facts.get("body", 0)
        key, patient = self.key(id), self.patient(id)
        return Entry(key, patient, content, shape, facts["dtype"], facts["unit"], spacing, stored, *source, body)

    def key(self, id: str) -> str:
        """Hashed id: of the file's place and the id, since data sets that share a cache may share ids."""
        path = self.dataset.path(id)
        return key_hash(self.salt, f"{type(self.dataset).__module__ if path is None else path.absolute()}|{id}")

    def patient(self, id: str) -> str:
        """Hashed patient."""
        return key_hash(self.salt, self.dataset.patient(id))

    def content(self, id: str) -> str:
        """Hashed content: a name for the array."""
        return blake2b(self.dataset.content(id).encode(), digest_size=16).hexdigest()

    def source(self, id: str) -> tuple[int, int]:
        """(size, mtime_ns) of the source's file or files; zeros where there is none."""
        if several := getattr(self.dataset, "footprint", None):  # `path` is one of the image's files
            return cast(tuple[int, int], several(id))
        path = self.dataset.path(id)
        return (0, 0) if path is None else footprint(path)

    def fresh(self, id: str, index: Mapping[str, Entry]) -> Entry | None:
        """The entry of the index where source, patient and array are still what it says."""
        entry = index.get(self.key(id))
        if entry is None or entry.patient != self.patient(id):
            return None
        try:
            same = self.source(id) == (entry.size, entry.mtime_ns)
            same = same and (self.dataset.path(id) is not None or self.content(id) == entry.content)
            same = same and os.path.getsize(array_path(self.folder, entry.content)) == entry.stored
            same = same and (not entry.body or os.path.getsize(body_path(self.folder, entry.content)) == entry.body)
            return entry if same else None
        except (DataError, OSError):
            return None


def packed(prepared: Prepared) -> tuple[Prepared, bytes, bytes]:
    """What is kept of a scan: itself, the file of its body mask (b"" where it has none), the file of its array."""
    body = b"" if prepared.scan.body is None else pack_mask(prepared.scan.body)
    return prepared, body, pack(prepared, len(body))


def stored(path: Path, mask: Path) -> dict[str, Any]:
    """The header of an array that an earlier, stopped call has left; {} where it, or its mask, is not there or damaged."""
    try:
        found = header(path) if path.exists() else {}
        return found if not found.get("body") or mask.stat().st_size == found["body"] else {}
    except (DataError, OSError):
        return {}


def build(
    dataset: Dataset,
    ids: Sequence[str],
    steps: Sequence[Step],
    root: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Built:
    """The cache of `ids`, in their order, without those set aside; what is there already is not made again.

    workers: processes; None chooses, 1 stays in this one. progress(done, total) is called here, every few scans.
    DataError: nothing could be read, or the disk is too small. Stopped in any way, the next call does the rest.
    """
    if not ids:
        raise DataError("no images to prepare", remedy="Check the data set and what is left out of it.")
    ids, folder = tuple(dict.fromkeys(ids)), ledger.open_folder(root, steps)
    job = Job(dataset, tuple(steps), folder, salt_of(root))
    index = read_index(folder)
    entries = {id: entry for id in ids if (entry := job.fresh(id, index))}
    reused, bad = len(entries), dict[str, str]()
    todo = _spread([id for id in ids if id not in entries])
    if progress:
        progress(reused, len(ids))
    try:
        for id, result in _made(job, todo, auto(len(todo)) if workers is None else workers):
            if isinstance(result, Entry):
                entries[id] = result
            else:
                bad[id] = result
            if progress:
                progress(len(entries) + len(bad), len(ids))
            if not entries and len(bad) == min(LOST, len(ids)):
                raise _nothing(job, bad, len(ids))
    finally:
        _set_aside(job, ids, bad)
    good = tuple(id for id in ids if id in entries)
    aside = tuple((id, dataset.path(id), reason) for id, reason in bad.items())
    return Built(Cache(folder, good, tuple(entries[id] for id in good)), aside, reused, len(entries) - reused)


def _nothing(job: Job, bad: Mapping[str, str], total: int) -> DataError:
    """A wrong setting rather than bad files: better said now than at hour three."""
    first, why = next(iter(bad.items()))
    reason = f"none of the first {len(bad)} of {total} images could be prepared; this one: {why.rstrip('.')}"
    remedy = f"The others are named in {job.folder / ledger.ASIDE}."
    return DataError(reason, file=job.dataset.path(first), remedy=remedy)


def _spread(todo: Sequence[str]) -> list[str]:
    """LOST of them first, from everywhere: what they are like and how large tells about the rest."""
    return list(dict.fromkeys([*todo[:: ceil(len(todo) / LOST) or 1], *todo]))


def auto(todo: int) -> int:
    """Processes worth starting for `todo` scans: each takes about a second to start."""
    from joblib import cpu_count  # lazy: a third of a second

    return max(1, min(int(cpu_count()), todo // 8))


def _made(job: Job, todo: Sequence[str], workers: int) -> Iterator[tuple[str, Entry | str]]:
    """(id, entry or reason) of each of `todo`, once the index holds it. DataError where the disk will not do."""
    index, left, made, size = ledger.Index(job.folder), len(todo), 0, 0
    with closing(run(job, todo, workers, max(1, min(CHUNK, len(todo) // (4 * max(workers, 1)))))) as batches:
        for batch in batches:
            entries = [done.result for done in batch if isinstance(done.result, Entry)]
            index.append(entries)
            left, made, size = left - len(batch), made + len(entries), size + sum(e.stored + e.body for e in entries)
            if made >= SAMPLE:
                _check_room(job.folder, left * size // made)
            for id, result in batch:
                yield id, result.reason if isinstance(result, Crashed) else result


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 1.2 * free:  # the mean of those made may err
        reason = f"about {needed / 1e9:.1f} GB more are needed and {free / 1e9:.1f} GB are free"
        remedy = "Free some space, or choose another folder for the cache; what is done stays."
        raise DataError(reason, file=folder, remedy=remedy)


def _set_aside(job: Job, ids: Sequence[str], bad: Mapping[str, str]) -> None:
    names = {id: str(job.dataset.path(id) or id) for id in (ids if (job.folder / ledger.ASIDE).exists() else bad)}
    ledger.note_set_aside(job.folder, set(names.values()), {names[id]: reason for id, reason in bad.items()})


def forecast(
    dataset: Dataset, ids: Sequence[str], steps: Sequence[Step], workers: int | None = None, sample: int = SAMPLE
) -> Forecast:
    """Prepare `sample` scans, evenly spread over `ids`, in memory, and judge the rest by them. Nothing is written."""
    chosen = [ids[i * len(ids) // sample] for i in range(sample)] if len(ids) > sample else list(ids)
    sizes, start = [], time.perf_counter()
    for id in chosen:
        try:
            sizes.append(sum(map(len, packed(prepare(dataset.read(id), steps))[1:])))
        except Exception:  # noqa: BLE001 - what cannot be read takes no room; building the cache names it
            continue
    seconds = (time.perf_counter() - start) * len(ids) / max(1, len(chosen))
    processes = auto(len(ids)) if workers is None else max(1, workers)
    return Forecast(ceil(sum(sizes) / max(1, len(sizes)) * len(ids)), seconds / processes, len(sizes))
