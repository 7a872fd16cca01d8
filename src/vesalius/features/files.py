"""Features of prepared scans in a file: one vector a scan, one map a scan, or one vector a point."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args
from zipfile import ZipFile

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vesalius.atomic import replacing
from vesalius.data.cache import CachedScan, key_hash
from vesalius.errors import DataError, SettingError
from vesalius.features.vectors import dense, origins, pooled, sample
from vesalius.models.backbone import Backbone
from vesalius.views.crops import resize_axes
from vesalius.views.intensity import to_unit

Kind = Literal["global", "dense", "points"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One array of features, (D,) or (D, *S), and where it comes from: hashes of image and patient, a named point."""

    id: str
    patient: str
    features: NDArray[np.float32]
    name: str = ""
    point: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def embed(
    backbone: Backbone,
    scans: Sequence[CachedScan],
    out: Path,
    kind: Kind = "global",
    *,
    key: bytes,
    points: Mapping[str, Mapping[str, ArrayLike]] | None = None,
    level: int | None = -1,
    size: int | None = None,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Features of prepared scans in one file, .npz (no pickle) or .parquet; ids are hashed with `key`, the cache's `salt_of`.

    global: a vector for each scan, of the whole prepared image, its shorter side resized to `size` where that is given.
    dense: a map for each scan, of `level`. points: a vector for each point, of `level`, or of all levels where None;
    `points` is scan id -> name -> voxel coordinates in the prepared image. progress(scans done, scans).
    In .npz: id, patient, features (N, D), and name, point (N, ndim); of dense, an array for each scan, named by id.
    Raises SettingError before any work where kind, out or points do not fit; DataError where out cannot be written.
    """
    writer = _check(backbone, scans, out, kind, points)
    if kind == "global":
        entries = _global(backbone, scans, size, batch)
    else:
        entries = _local(backbone, scans, points if kind == "points" else None, level)
    with replacing(out) as partial, writer(partial, kind) as add:
        for done, of_scan in enumerate(entries, 1):
            for entry in of_scan:
                add(replace(entry, id=key_hash(key, entry.id)))
            if progress is not None:
                progress(done, len(scans))
    return out


def _check(
    backbone: Backbone, scans: Sequence[CachedScan], out: Path, kind: Kind, points: Mapping[str, Any] | None
) -> "Writer":
    if kind not in get_args(Kind):
        raise SettingError(f"no features called {kind!r}", remedy=f"Choose from {', '.join(get_args(Kind))}.")
    if out.suffix not in WRITERS:
        raise SettingError("is neither .npz nor .parquet", file=out, remedy="Give a name that ends in one of them.")
    if not len(scans):
        raise DataError("there are no scans to embed")
    if (kind == "points") != (points is not None):
        raise SettingError("points are given for kind 'points', and for it alone")
    unknown = set(points or ()) - {scan.id for scan in scans}
    if unknown:
        raise SettingError(f"{len(unknown)} scans with points are not in the data, such as {min(unknown)!r}")
    if len(scans[0].shape) != backbone.ndim:
        raise SettingError(f"a {backbone.ndim}-D backbone cannot see {len(scans[0].shape)}-D scans")
    if out.suffix == ".parquet":
        _pyarrow()
    return WRITERS[out.suffix]


def _image(scan: CachedScan) -> Tensor:
    return to_unit(torch.from_numpy(scan.read()), scan.unit)


def _global(backbone: Backbone, scans: Sequence[CachedScan], size: int | None, batch: int) -> Iterator[list[Entry]]:
    """Neighbours of one shape go through the network together."""
    for first in range(0, len(scans), batch):
        some = [scans[i] for i in range(first, min(first + batch, len(scans)))]
        images = [_image(scan) if size is None else _shorter_side(_image(scan), size) for scan in some]
        for _, group in groupby(zip(some, images, strict=True), lambda pair: pair[1].shape):
            members = list(group)
            vectors = pooled(backbone, torch.stack([image for _, image in members]), batch).numpy()
            for (scan, _), vector in zip(members, vectors, strict=True):
                yield [Entry(scan.id, scan.patient, vector)]


def _shorter_side(image: Tensor, size: int) -> Tensor:
    shape = image.shape[1:]
    return resize_axes(image, tuple(max(1, round(side * size / min(shape))) for side in shape))


def _local(
    backbone: Backbone,
    scans: Sequence[CachedScan],
    points: Mapping[str, Mapping[str, ArrayLike]] | None,
    level: int | None,
) -> Iterator[list[Entry]]:
    for i in range(len(scans)):
        scan = scans[i]
        pyramid = dense(backbone, _image(scan)[None])
        if points is None:
            yield [Entry(scan.id, scan.patient, pyramid[-1 if level is None else level][0].numpy())]
            continue
        named = {name: np.asarray(point, np.float64) for name, point in points.get(scan.id, {}).items()}
        vectors = (
            sample(pyramid, backbone.strides, list(named.values()), level, origins(backbone)).numpy() if named else ()
        )
        yield [
            Entry(scan.id, scan.patient, vector, name, point)
            for (name, point), vector in zip(named.items(), vectors, strict=True)
        ]


Writer = Callable[[Path, Kind], AbstractContextManager[Callable[[Entry], None]]]


@contextmanager
def _npz(path: Path, kind: Kind) -> Iterator[Callable[[Entry], None]]:
    """Dense maps go to the disk one by one: a data set of them does not fit in memory."""
    names = {"global": ("features",), "dense": (), "points": ("name", "point", "features")}[kind]
    columns: dict[str, list[Any]] = {name: [] for name in ("id", "patient", *names)}
    with ZipFile(path, "w") as archive:

        def save(name: str, array: NDArray[Any]) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)

        def add(entry: Entry) -> None:
            for name, values in columns.items():
                values.append(getattr(entry, name))
            if kind == "dense":
                save(entry.id, entry.features)

        yield add
        for name, values in columns.items():
            save(name, np.array(values))


@contextmanager
def _parquet(path: Path, kind: Kind) -> Iterator[Callable[[Entry], None]]:
    """Arrays are flattened (the last axis fastest); `shape` is theirs."""
    arrow, parquet = _pyarrow()
    text, numbers = arrow.string(), arrow.list_
    schema = {"id": text, "patient": text, "name": text, "point": numbers(arrow.float64())}
    schema |= {"shape": numbers(arrow.int32()), "features": numbers(arrow.float32())}
    rows: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, arrow.schema(schema.items())) as file:

        def flush() -> None:
            file.write_table(arrow.Table.from_pylist(rows, file.schema))
            rows.clear()

        def add(entry: Entry) -> None:
            flat = {"shape": entry.features.shape, "features": entry.features.ravel()}
            rows.append({name: getattr(entry, name) for name in ("id", "patient", "name", "point")} | flat)
            if len(rows) == (16 if kind == "dense" else 4096):
                flush()

        yield add
        flush()


WRITERS: Mapping[str, Writer] = {".npz": _npz, ".parquet": _parquet}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        remedy = "pip install 'vesalius[parquet]', or write .npz."
        raise SettingError("Parquet files need pyarrow, which is not installed", remedy=remedy) from error
    return pyarrow, parquet
