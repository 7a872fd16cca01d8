"""Prepared scans on disk, read by region: one blosc2 array a content, opened inside the worker.

    root/salt                       32 random bytes (mode 0600): the key of every hash of an id or a patient
    root/KEY/index.jsonl            a line a scan: hashed id and patient, content, shape, type, unit, spacing
    root/KEY/set_aside.jsonl        a line a file that could not be prepared, and why
    root/KEY/ab/abcd....b2nd        the array (C, *S); what is needed to take results back is in its vlmeta
    root/KEY/ab/abcd....body.b2nd   where a step keeps it: which voxels are body, as packed bits

KEY is a hash of the format and the steps, the file name a hash of the content: neither says whose scan it is.
A line or a file is there in full or not at all, whatever stops the writer; lines that are not whole are passed over.
"""

import json
import math
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from vesalius.data.bits import read_mask, sample_voxel
from vesalius.data.handles import REMEDY, damaged, open_frame, opened, read_into
from vesalius.data.prepare import Prepared, Trace, steps_to_json
from vesalius.data.scan import Array, Unit
from vesalius.data.steps import Step
from vesalius.errors import DataError
from vesalius.space.box import Box

FORMAT = 3  # of the files and of what readers and steps make of a source: raise it when either changes
# 2: percentiles of several channels are each channel's own. 3: HU by where values lie, spacing unknown where no file says it


def default_root() -> Path:
    """Where prepared scans live unless told otherwise: $VESALIUS_CACHE, else ~/.cache/vesalius."""
    return Path(os.environ.get("VESALIUS_CACHE", "") or Path.home() / ".cache" / "vesalius").expanduser()


def key_hash(salt: bytes, text: str) -> str:
    """(32 hex digits) Keyed blake2b of an id or a patient: the same text gives the same hash under the same salt only."""
    return blake2b(text.encode(), key=salt, digest_size=16).hexdigest()


def salt_of(root: Path) -> bytes:
    """The salt of a cache, made on first use. DataError where it is not whole."""
    path = root / "salt"
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True)
        temporary = root / f".salt.{os.getpid()}.{secrets.token_hex(4)}"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(temporary, path)  # unlike a rename, never replaces the salt of a process that was faster
        except OSError:  # it was, or the disk knows no links
            if not path.exists():
                os.replace(temporary, path)
        temporary.unlink(missing_ok=True)
    salt = path.read_bytes()
    if len(salt) != 32:
        raise DataError("the salt of the cache is damaged", file=path, remedy="Delete this file and prepare again.")
    return salt


def folder_of(root: Path, steps: Sequence[Step], format: int = FORMAT) -> Path:
    """Where scans prepared by `steps` live: each format has its own folder, so that what is older is never read."""
    words = json.dumps([format, steps_to_json(steps)], sort_keys=True)
    return root / blake2b(words.encode(), digest_size=8).hexdigest()


def outdated(root: Path, steps: Sequence[Step]) -> tuple[Path, ...]:
    """Folders of the same steps that earlier formats have left: nothing reads them any more."""
    return tuple(folder for old in range(1, FORMAT) if (folder := folder_of(root, steps, old)).exists())


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the index. shape: (C, *S). stored, body: bytes of the files of array and body mask, 0 where there is none.
    size, mtime_ns: of the source, or 0."""

    id: str
    patient: str
    content: str
    shape: tuple[int, ...]
    dtype: str
    unit: Unit
    spacing: tuple[float, ...] | None
    stored: int
    size: int = 0
    mtime_ns: int = 0
    body: int = 0

    def line(self) -> bytes:
        """As JSON, with the newline that makes it whole."""
        row = asdict(self)
        if not self.body:  # most scans have none, and the line is then what it was before there were masks
            del row["body"]
        return json.dumps(row).encode() + b"\n"


def read_index(folder: Path) -> dict[str, Entry]:
    """Hashed id -> its last entry. {} where there is no index."""
    entries = {}
    path = folder / "index.jsonl"
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        try:
            row = json.loads(line) if line.endswith(b"\n") else {}
            spacing = row["spacing"] and tuple(row["spacing"])
            entries[row["id"]] = Entry(**{**row, "shape": tuple(row["shape"]), "spacing": spacing})
        except (ValueError, TypeError, KeyError):
            continue  # torn when its writer was killed: the scan is prepared again
    return entries


def array_path(folder: Path, content: str) -> str:
    """The array's file; 256 sub folders keep each of them short. A plain string: a Path costs a tenth of a read."""
    return f"{folder}/{content[:2]}/{content}.b2nd"


def body_path(folder: Path, content: str) -> str:
    """The body mask's file, beside the array's."""
    return f"{folder}/{content[:2]}/{content}.body.b2nd"


def pack(prepared: Prepared, body: int = 0) -> bytes:
    """The file of one array. body: bytes of its mask's file.

    Measured on radiographs: LZ4 reads twice as fast as zstd and takes a third more room.
    """
    image, scan = np.ascontiguousarray(prepared.scan.image), prepared.scan
    side, block = (1024, 64) if scan.ndim == 2 else (64, 32)
    array = blosc2.asarray(
        image,
        chunks=(1, *(max(1, min(side, n)) for n in scan.shape)),
        blocks=(1, *(max(1, min(block, n)) for n in scan.shape)),
        cparams={
            "codec": blosc2.Codec.LZ4,
            "clevel": 1,
            "filters": [blosc2.Filter.NOFILTER if image.itemsize == 1 else blosc2.Filter.SHUFFLE],
            "filters_meta": [0],
            "nthreads": 1,
        },
    )
    array.schunk.vlmeta["scan"] = json.dumps(about(prepared, body))
    return bytes(array.to_cframe())


def about(prepared: Prepared, body: int = 0) -> dict[str, Any]:
    """All that is kept of a scan but its values, in JSON's types. Neither patient nor id is in it."""
    scan = prepared.scan
    return {
        "shape": list(scan.image.shape),
        "dtype": str(scan.image.dtype),
        "unit": scan.unit,
        "spacing": scan.spacing and list(map(float, scan.spacing)),
        "affine": None if scan.affine is None else np.asarray(scan.affine, np.float64).tolist(),
        "meta": dict(scan.meta),
        "trace": prepared.trace,
        "body": body,
    }


def header(path: Path) -> dict[str, Any]:
    """What `about` gave when the array was written. DataError where it cannot be read."""
    handle = open_frame(str(path))  # the metadata lives as long as it does
    try:
        found: dict[str, Any] = json.loads(handle[0].schunk.vlmeta["scan"])
    except Exception as error:  # noqa: BLE001 - a damaged frame may raise anything
        raise damaged(str(path), error) from None
    return found


@dataclass(frozen=True)
class CachedScan:
    """A prepared scan on disk. Nothing is read until `read`, but what the index holds."""

    folder: Path
    index: int
    id: str
    entry: Entry

    @property
    def patient(self) -> str:
        """Keyed hash of the patient."""
        return self.entry.patient

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each spatial axis."""
        return self.entry.shape[1:]

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def channels(self) -> int:
        """C."""
        return self.entry.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values."""
        return np.dtype(self.entry.dtype)

    @property
    def unit(self) -> Unit:
        """Of the stored values."""
        return self.entry.unit

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """mm from voxel to voxel along each axis; None where unknown."""
        return self.entry.spacing

    @property
    def path(self) -> Path:
        """The array's file."""
        return Path(array_path(self.folder, self.entry.content))

    @property
    def affine(self) -> Array | None:
        """(ndim + 1, ndim + 1) voxel -> RAS+ mm; None where unknown."""
        affine = header(self.path)["affine"]
        return None if affine is None else np.asarray(affine)

    @property
    def trace(self) -> Trace:
        """What each step did, for `prepare_*` and `restore_*`."""
        return tuple((name, fit) for name, fit in header(self.path)["trace"])

    def read(self, box: Box | None = None) -> Array:
        """(C, *box.shape) in the stored type; only blocks that `box` touches are decoded.

        ValueError: a box outside of the scan. DataError: a file that is gone or damaged.
        """
        box = self._within(box)
        out, path = np.empty((self.channels, *box.shape), self.dtype), array_path(self.folder, self.entry.content)
        array = opened(path)
        if array.shape != self.entry.shape or array.dtype != out.dtype:
            raise DataError("is not what the index says it is", file=path, remedy=REMEDY)
        read_into(path, array, out, (0, *box.start), out.shape[:1] + box.stop)
        return out

    def _within(self, box: Box | None) -> Box:
        whole = Box.whole(self.shape)
        if box is not None and not whole.contains(box):
            raise ValueError(f"{box} is not within {whole}")
        return whole if box is None else box

    @property
    def has_body(self) -> bool:
        """Whether it is known which voxels are body: a step such as `Body` has kept a mask."""
        return self.entry.body > 0

    def body(self, box: Box | None = None) -> Array:
        """(*box.shape) bool, True in the body: a read of packed bits. All True, without a read, where no mask is kept.

        Errors as `read`.
        """
        box = self._within(box)
        return read_mask(body_path(self.folder, self.entry.content), box) if self.has_body else np.ones(box.shape, bool)

    def sample_body_voxel(self, rng: np.random.Generator) -> tuple[int, ...]:
        """(ndim,) One of the body's voxels, all equally likely: `rng.integers` once, and one block of 32 voxels a side.

        The mask's file holds the number of body voxels of each such block, so neither the mask nor a list of voxels is
        read. Where no mask is kept, any voxel of the image. DataError as `read`.
        """
        if self.has_body:
            return sample_voxel(body_path(self.folder, self.entry.content), rng)
        return tuple(map(int, np.unravel_index(int(rng.integers(math.prod(self.shape))), self.shape)))


@dataclass(frozen=True)
class Cache(Sequence[CachedScan]):
    """Prepared scans in the order of `ids`. It holds paths and facts, no open file: pickle it, fork it, read in threads."""

    folder: Path
    ids: tuple[str, ...]
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        """Number of scans."""
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        """The scan at `index`, or the cache of those in a slice."""
        if isinstance(index, slice):
            return Cache(self.folder, self.ids[index], self.entries[index])
        at = range(len(self))[index]
        return CachedScan(self.folder, at, self.ids[at], self.entries[at])
