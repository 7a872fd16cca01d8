"""Features as files: .npz without pickle, written array by array, and .parquet."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from vesalius.errors import SettingError

Array = NDArray[np.float64]
COLUMNS = {
    "global": ("features",),
    "dense": ("spacing", "affine"),
    "points": ("name", "point", "mm", "features"),
}


@dataclass(frozen=True, eq=False)
class Entry:
    """One array of features, (D,) or (D, *S), and where it comes from: hashes of image and patient, a named point or level.

    spacing: (ndim,) mm from voxel to voxel of the prepared image; affine: (ndim + 1, ndim + 1), its voxels to RAS+ mm; NaN
    where unknown.
    """

    id: str
    patient: str
    features: NDArray[Any]
    name: str = ""
    point: Array = field(default_factory=lambda: np.empty(0))
    spacing: Array = field(default_factory=lambda: np.empty(0))
    affine: Array = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def mm(self) -> Array:
        """(ndim,) of the point in the scanner, RAS+; NaN where unknown."""
        return np.asarray(self.affine[:-1, :-1] @ self.point + self.affine[:-1, -1] if len(self.point) else self.point)


Writer = Callable[[Path, str, Mapping[str, NDArray[Any]]], AbstractContextManager[Callable[[Entry], None]]]


@contextmanager
def _npz(path: Path, kind: str, about: Mapping[str, NDArray[Any]]) -> Iterator[Callable[[Entry], None]]:
    """Dense maps go to the disk one by one: a data set of them does not fit in memory."""
    columns: dict[str, list[Any]] = {name: [] for name in ("id", "patient", *COLUMNS[kind])}
    with ZipFile(path, "w") as archive:

        def save(name: str, array: NDArray[Any]) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)

        def add(entry: Entry) -> None:
            if kind == "dense":
                save(f"{entry.id}.{entry.name}" if entry.name else entry.id, entry.features)
            if kind != "dense" or not columns["id"] or columns["id"][-1] != entry.id:  # once an image, not once a level
                for name, values in columns.items():
                    values.append(getattr(entry, name))

        yield add
        for name, array in {**{name: np.array(values) for name, values in columns.items()}, **about}.items():
            save(name, array)


@contextmanager
def _parquet(path: Path, kind: str, about: Mapping[str, NDArray[Any]]) -> Iterator[Callable[[Entry], None]]:
    """Arrays are flattened (the last axis fastest); `shape` is theirs. What is `about` the network stands in the metadata."""
    arrow, parquet = pyarrow()
    text, numbers = arrow.string(), arrow.list_
    schema = {"id": text, "patient": text, "name": text, "point": numbers(arrow.float64())}
    schema |= {name: numbers(arrow.float64()) for name in ("mm", "spacing", "affine")}
    schema |= {"shape": numbers(arrow.int32()), "features": numbers(arrow.float32())}
    words = {name: str(array.tolist()) for name, array in about.items()}
    rows: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, arrow.schema(schema.items(), metadata=words)) as file:

        def flush() -> None:
            file.write_table(arrow.Table.from_pylist(rows, file.schema))
            rows.clear()

        def add(entry: Entry) -> None:
            flat = {"shape": entry.features.shape, "features": entry.features.ravel(), "affine": entry.affine.ravel()}
            rows.append(
                {name: getattr(entry, name) for name in ("id", "patient", "name", "point", "mm", "spacing")} | flat
            )
            if len(rows) == (16 if kind == "dense" else 4096):
                flush()

        yield add
        flush()


WRITERS: Mapping[str, Writer] = {".npz": _npz, ".parquet": _parquet}


def pyarrow() -> tuple[Any, Any]:
    """The package and its parquet. SettingError where it is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        remedy = "pip install 'vesalius[parquet]', or write .npz."
        raise SettingError("Parquet files need pyarrow, which is not installed", remedy=remedy) from error
    return pyarrow, parquet
