"""`vesalius embed RUN DATA`: open the encoder, prepare the data as it was trained to see it, write the features."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from tyro.conf import arg

from vesalius import zoo
from vesalius.checkpoint import check_writable
from vesalius.compute import Compute, device_named
from vesalius.data.build import Built, build
from vesalius.data.cache import CachedScan, default_root, salt_of
from vesalius.data.datasets import Dataset, open_dataset
from vesalius.data.prepare import Trace, prepare_points
from vesalius.data.steps import Step
from vesalius.errors import DataError, SettingError
from vesalius.features.files import embed
from vesalius.features.writers import WRITERS
from vesalius.progress import say, say_notes, shower

Point = NDArray[np.float64]
Points = Mapping[str, Mapping[str, Point]]
POINTS_REMEDY = (
    "Its first line must be image,name,x,y or image,name,x,y,z; below, one finite point a line, each name once."
)


def embed_command(
    run: Annotated[str, arg(metavar="RUN")],
    data: Annotated[str, arg(metavar="DATA")],
    /,
    out: str,
    kind: Literal["global", "dense", "points"] = "global",
    points: str = "",
    level: int | Literal["all"] = -1,
    size: int = 0,
    batch: int = 16,
    window: tuple[int, ...] = (),
    half: bool = False,
    cache: str = "",
    device: str = "auto",
) -> None:
    """Features of every image of a data set, from a pretrained encoder. Ids and patients in the file are keyed hashes.

    Args:
        run: run folder or encoder file
        data: PATH, NAME:PATH or NAME:PATH?option=value
        out: file to write: .npz, or .parquet (needs the extra vesalius[parquet])
        kind: one vector an image (global), a map (dense), or vectors at points
        points: CSV image,name,x,y[,z] in voxels of the image as stored; without it the data set's own landmarks
        level: of the pyramid, for dense and points; 0 is the finest, -1 the coarsest; all: the whole pyramid, or the vectors
            of all levels joined
        size: short side given to the network, in pixels; 0 = as prepared
        batch: images at a time
        window: for dense and points, sides in voxels of the windows in which an image is seen; default: the whole image, or
            as large as 8 million voxels allow
        half: write float16, half as large (.npz alone)
        cache: folder of prepared images; default: $VESALIUS_CACHE or ~/.cache/vesalius
        device: auto, cpu or cuda
    """
    _check(Path(out), kind, points, size, batch)
    where = Compute(device_named(device))
    loaded = zoo.load(run)
    channels, ndim = loaded.backbone.channels, loaded.backbone.ndim
    if level != "all" and not -len(channels) <= level < len(channels):
        raise SettingError(f"there is no level {level}", remedy=f"The pyramid has {len(channels)}.")
    if window and (len(window) != ndim or min(window) < 1):
        raise SettingError(f"setting window is {window}", remedy=f"Give {ndim} sides, in voxels.")
    stored = read_points(Path(points), ndim) if points else None
    dataset, steps = open_dataset(data), loaded.steps
    say_notes(data, dataset)
    if stored is not None and not stored.keys() & set(dataset.ids):
        remedy = f"Column image must hold ids, such as {dataset.ids[0]}."
        raise DataError("no image of the data has points in it", file=points, remedy=remedy)
    root = Path(cache).expanduser() if cache else default_root()
    built = build(dataset, dataset.ids, steps, root, progress=shower(f"preparing {data}"))
    for _, path, reason in built.set_aside:
        say(f"set aside: {path}: {reason}")
    wanted = _wanted(built, dataset, stored, steps) if kind == "points" else None
    path = embed(
        where.place(loaded.backbone), built.cache, Path(out), kind, key=salt_of(root), points=wanted, size=size or None,
        batch=batch, level=None if level == "all" else level, window=window or None, half=half, progress=shower("embedding"),
    )  # fmt: skip
    print(path)


def _check(out: Path, kind: str, points: str, size: int, batch: int) -> None:
    """What can be known to be wrong before the encoder is loaded and images are prepared."""
    if out.suffix not in WRITERS:
        raise SettingError("is neither .npz nor .parquet", file=out, remedy="Give a name that ends in one of them.")
    if points and kind != "points":
        raise SettingError(f"points are given, and kind is {kind}", remedy="Add --kind points.")
    if batch < 1 or size < 0:
        raise SettingError(f"batch {batch}, size {size}", remedy="batch must be at least 1 and size at least 0.")
    check_writable(out.parent)


def read_points(path: Path, ndim: int) -> dict[str, dict[str, Point]]:
    """CSV image,name,x,y[,z] -> image -> name -> voxel coordinates in array order: 2-D (y, x) = (row, column). DataError."""
    found: dict[str, dict[str, Point]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                at = (row["y"], row["x"]) if not row.get("z") else (row["x"], row["y"], row["z"])
                point = np.array([float(value) for value in at])
                if len(point) != ndim or not np.isfinite(point).all():
                    raise ValueError(f"a point of {row['image']} is {point.tolist()}, not {ndim} finite numbers")
                if row["name"] in found.setdefault(row["image"], {}):
                    raise ValueError(f"{row['image']} has {row['name']} twice")
                found[row["image"]][row["name"]] = point
    except KeyError as error:
        raise DataError(f"has no column {error}", file=path, remedy=POINTS_REMEDY) from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"points cannot be read ({error})", file=path, remedy=POINTS_REMEDY) from error
    return found


def _wanted(built: Built, dataset: Dataset, stored: Points | None, steps: list[Step]) -> Points:
    """The points of each prepared image: those of a file, every one of which must lie in its image, or the data set's own."""

    def moved(scan: CachedScan, named: Mapping[str, Point], strict: bool) -> dict[str, Point]:
        return to_prepared(named, steps, scan.trace, scan.shape, scan.id, strict=strict)

    if stored is not None:
        return {scan.id: moved(scan, stored[scan.id], True) for scan in built.cache if scan.id in stored}
    quick = getattr(dataset, "landmarks", None)  # the phantom's, without its masks
    own = {id: quick(id) if callable(quick) else dataset.labels(id).landmarks for id in built.cache.ids}
    if not any(own.values()):
        raise DataError("the data set has no landmarks of its own", remedy="Give --points FILE.csv.")
    return {scan.id: moved(scan, own[scan.id], False) for scan in built.cache if own[scan.id]}


def to_prepared(
    named: Mapping[str, Point], steps: Sequence[Step], trace: Trace, shape: tuple[int, ...], id: str, *, strict: bool
) -> dict[str, Point]:
    """Points of a stored image, in the prepared one of `shape`; those outside of it are left out, or with `strict` a DataError
    that names the image, `id`."""
    moved = dict(zip(named, prepare_points(np.stack(list(named.values())), steps, trace), strict=True))
    out = [name for name, at in moved.items() if not np.all((at >= -0.5) & (at <= np.array(shape) - 0.5))]
    if out and strict:
        reason = f"point {out[0]} at {named[out[0]].tolist()} (in the order of the array's axes) is not in the image"
        raise DataError(reason, file=id, remedy="Are x and y exchanged, or is it of another size?")
    return {name: at for name, at in moved.items() if name not in out}
