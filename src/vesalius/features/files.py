"""Features of prepared scans in a file: one vector a scan, one map or pyramid a scan, or one vector a point."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vesalius.atomic import replacing
from vesalius.data.cache import CachedScan, key_hash
from vesalius.errors import DataError, SettingError
from vesalius.features.pyramids import pyramid
from vesalius.features.vectors import look_up, origins, pooled
from vesalius.features.writers import WRITERS, Entry, Writer, pyarrow
from vesalius.models.backbone import Backbone
from vesalius.views.crops import resize_axes
from vesalius.views.intensity import to_unit

Kind = Literal["global", "dense", "points"]
Points = Mapping[str, Mapping[str, ArrayLike]]


@dataclass(frozen=True)
class Asked:
    """What of the pyramid. level: None for all. window: see `pyramid`. half: float16 in the file."""

    level: int | None = -1
    window: Sequence[int] | None = None
    half: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of the features in the file."""
        return torch.float16 if self.half else torch.float32

    def levels(self, backbone: Backbone) -> list[int]:
        """Their places in the pyramid, finest first."""
        every = range(len(backbone.channels))
        return list(every) if self.level is None else [every[self.level]]


def embed(
    backbone: Backbone,
    scans: Sequence[CachedScan],
    out: Path,
    kind: Kind = "global",
    *,
    key: bytes,
    points: Points | None = None,
    level: int | None = -1,
    size: int | None = None,
    batch: int = 16,
    window: Sequence[int] | None = None,
    half: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Features of prepared scans in one file, .npz (no pickle) or .parquet; ids are hashed with `key`, the cache's `salt_of`.

    global: a vector for each scan, of the whole prepared image, its shorter side resized to `size` where that is given.
    dense: a map for each scan, of `level`, or the whole pyramid where that is None. points: a vector for each point, of
    `level`, or of all levels joined; `points` is scan id -> name -> voxel coordinates in the prepared image. window: sides
    of the windows in which a large image is seen, see `pyramid`. half: float16 (.npz alone). progress(scans done, scans).
    In .npz: id, patient, features (N, D), and name, point (N, ndim), mm (N, ndim); of dense, an array for each scan, named
    by id (ID.LEVEL of a pyramid), with spacing and affine of the scans, and level, stride, origin: cell c of a level is
    centred on voxel stride * c + origin of the prepared image. Raises SettingError before any work where kind, out or
    points do not fit; DataError where out cannot be written, or features are beyond float16.
    """
    asked = Asked(level, window, half)
    writer = _check(backbone, scans, out, kind, points, half)
    if kind == "global":
        entries = _global(backbone, scans, size, batch)
    else:
        entries = _local(backbone, scans, points if kind == "points" else None, asked)
    with replacing(out) as partial, writer(partial, kind, _about(backbone, kind, asked)) as add:
        for done, of_scan in enumerate(entries, 1):
            for entry in of_scan:
                found = entry.features.astype(np.float16) if half else entry.features
                add(replace(entry, id=key_hash(key, entry.id), features=found))
            if progress is not None:
                progress(done, len(scans))
    return out


def _check(
    backbone: Backbone, scans: Sequence[CachedScan], out: Path, kind: Kind, points: Mapping[str, Any] | None, half: bool
) -> Writer:
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
        pyarrow()
        if half:
            raise SettingError("float16 is written as .npz alone", file=out, remedy="Leave --half out, or write .npz.")
    return WRITERS[out.suffix]


def _about(backbone: Backbone, kind: Kind, asked: Asked) -> dict[str, Any]:
    """Of maps, the levels that are written and where their cells lie."""
    if kind != "dense":
        return {}
    levels = asked.levels(backbone)
    first = np.array(origins(backbone), np.float64)
    return {"level": np.array(levels), "stride": np.array(backbone.strides)[levels], "origin": first[levels]}


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
    backbone: Backbone, scans: Sequence[CachedScan], points: Points | None, asked: Asked
) -> Iterator[list[Entry]]:
    for i in range(len(scans)):
        scan = scans[i]
        named = {name: np.asarray(at, np.float64) for name, at in (points or {}).get(scan.id, {}).items()}
        if points is not None and not named:
            yield []
            continue
        levels = pyramid(backbone, _image(scan), asked.window, asked.dtype)
        about = Entry(scan.id, scan.patient, np.empty(0), spacing=_spacing(scan), affine=_affine(scan))
        if points is None:
            whole = asked.level is None
            chosen = asked.levels(backbone)
            yield [replace(about, name=str(k) if whole else "", features=levels[k].numpy()) for k in chosen]
            continue
        vectors = look_up(backbone, [level[None].float() for level in levels], list(named.values()), asked.level)
        yield [
            replace(about, name=name, point=point, features=vector)
            for (name, point), vector in zip(named.items(), vectors.numpy(), strict=True)
        ]


def _spacing(scan: CachedScan) -> Any:
    return np.array(scan.spacing or (np.nan,) * len(scan.shape), np.float64)


def _affine(scan: CachedScan) -> Any:
    affine, side = scan.affine, len(scan.shape) + 1  # read from the file: once
    return np.full((side, side), np.nan) if affine is None else affine
