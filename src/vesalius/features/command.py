"""`vesalius embed RUN DATA`: open the encoder, prepare the data as it was trained to see it, write the features."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vesalius import zoo
from vesalius.data.build import build
from vesalius.data.cache import Cache, default_root, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import prepare_points, steps_from_json
from vesalius.errors import DataError
from vesalius.features.files import embed
from vesalius.progress import say, shower

Points = Mapping[str, Mapping[str, NDArray[np.float64]]]


def embed_command(
    run: str,
    data: str,
    /,
    out: str,
    kind: Literal["global", "dense", "points"] = "global",
    points: str = "",
    level: int = -1,
    size: int = 0,
    batch: int = 16,
    cache: str = "",
) -> None:
    """Features of every image of a data set, from a pretrained encoder. Ids and patients in the file are keyed hashes.

    Args:
        run: run folder or encoder file
        data: PATH, NAME:PATH or NAME:PATH?option=value
        out: file to write: .npz, or .parquet (needs the extra vesalius[parquet])
        kind: one vector an image (global), a map (dense), or vectors at points
        points: CSV image,name,x,y[,z] in voxels of the image as stored; without it the data set's own landmarks
        level: of the pyramid, for dense and points; -1 is the coarsest
        size: short side given to the network, in pixels; 0 = as prepared
        batch: images at a time
        cache: folder of prepared images; default: $VESALIUS_CACHE or ~/.cache/vesalius
    """
    loaded = zoo.load(run)
    dataset = open_dataset(data)
    steps = steps_from_json(loaded.card.prepare)
    root = Path(cache) if cache else default_root()
    built = build(dataset, dataset.ids, steps, root, progress=shower(f"preparing {data}"))
    for _, path, reason in built.set_aside:
        say(f"set aside: {path}: {reason}")
    wanted = None
    if kind == "points":
        stored = read_points(Path(points)) if points else {i: dataset.labels(i).landmarks for i in built.cache.ids}
        wanted = _prepared(built.cache, stored, loaded.card.prepare)
    path = embed(
        loaded.backbone, built.cache, Path(out), kind, key=salt_of(root), points=wanted, level=level,
        size=size or None, batch=batch, progress=shower("embedding"),
    )  # fmt: skip
    print(path)


def read_points(path: Path) -> dict[str, dict[str, NDArray[np.float64]]]:
    """CSV image,name,x,y[,z] -> image -> name -> voxel coordinates in array order: 2-D (y, x) = (row, column)."""
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    try:
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                at = (row["y"], row["x"]) if not row.get("z") else (row["x"], row["y"], row["z"])
                found.setdefault(row["image"], {})[row["name"]] = np.array([float(value) for value in at])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Its first line must be image,name,x,y or image,name,x,y,z, and numbers below."
        raise DataError(f"points cannot be read ({error!r})", file=path, remedy=remedy) from error
    return found


def _prepared(cache: Cache, stored: Points, prepare: list[dict[str, object]]) -> Points:
    """Points of stored images, moved into the prepared ones; images without points are left out."""
    steps = steps_from_json(prepare)
    moved = {}
    for scan in cache:
        if named := stored.get(scan.id):
            at = prepare_points(np.stack(list(named.values())), steps, scan.trace)
            moved[scan.id] = dict(zip(named, at, strict=True))
    if not moved:
        raise DataError(
            "no image of the data set has points", remedy="Column image must hold ids: see vesalius inspect."
        )
    return moved
