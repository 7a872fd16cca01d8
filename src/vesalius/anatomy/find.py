"""`vesalius find RUN DATA --points FILE`: point at a place in one body, see it in the others.

A place's vector is the mean, over the images in which somebody pointed at it, of the encoder's vector there: of the voxel, or
of the patch around it (see `sight`). It is sought over the whole of every other image.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tyro.conf import arg

from vesalius import checkpoint
from vesalius.anatomy.contestants import Contestant, contestants
from vesalius.anatomy.embedders import unit
from vesalius.anatomy.field import Peaks, Searched, peaks
from vesalius.anatomy.landmarks import Config as Landmarks
from vesalius.anatomy.landmarks import clear, scanner
from vesalius.anatomy.sight import Sight, sight
from vesalius.chance import generator
from vesalius.compute import device_named
from vesalius.data.datasets import Dataset, open_dataset
from vesalius.data.outputs import SUFFIX, SetAside, output_names, write_output
from vesalius.data.prepare import Prepared, prepare, restore_mask, restore_points
from vesalius.data.scan import Scan
from vesalius.errors import DataError, VesaliusError
from vesalius.features.command import read_points, to_prepared
from vesalius.features.subjects import unlabelled
from vesalius.progress import shower

PLACES, HEAT = "places.csv", "heat"
COLUMNS = ("image", "name", "x", "y", "z", "x_mm", "y_mm", "z_mm", "cosine", "found")
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Looked:
    """An image as read and as the encoder sees it."""

    scan: Scan
    prepared: Prepared
    steps: Sequence[Any]
    seen: Sight

    def as_read(self, heat: Tensor, cells: tuple[int, ...]) -> NDArray[np.float32]:
        """(N, cells) -> (N, *S) over the image as read."""
        maps = heat.view(1, len(heat), *cells)
        if cells != self.prepared.scan.shape:
            mode = "bilinear" if len(cells) == 2 else "trilinear"
            maps = functional.interpolate(maps, self.prepared.scan.shape, mode=mode)
        return np.asarray(restore_mask(maps[0].numpy(), self.steps, self.prepared.trace), np.float32)


def find_command(
    run: Annotated[str, arg(metavar="RUN")],
    data: Annotated[str, arg(metavar="DATA")],
    /,
    points: str,
    out: str,
    heat: bool = False,
    grid: int = 0,
    device: str = "auto",
) -> None:
    """Places that are given in some images, found in all the others: OUT/places.csv.

    Args:
        run: run folder or encoder file
        data: PATH, NAME:PATH or NAME:PATH?option=value: the images with the points, and those to search
        points: CSV image,name,x,y[,z] in voxels of the image as stored
        out: folder to write to
        heat: also a map of each place in each image, of cosines: .nii.gz of volumes; of 2-D images .png, 65535 for 1
        grid: cells of a map along the short side, for an encoder of patches; 0 = 16
        device: auto, cpu or cuda
    """
    print(find(run, data, Path(points), Path(out), heat=heat, grid=grid, device=device))


def find(
    run: str | Path, data: str, points: Path, out: Path, *, heat: bool = False, grid: int = 0, device: str = "auto"
) -> Path:
    """Each place of `points` sought in every image of `data` in which it is not given; the path of the table.

    In it: x, y, z in voxels as stored, x_mm, y_mm, z_mm in the scanner where the image says how it lay, the cosine, and
    whether it is clearly better than the second best place. An image that cannot be used is set aside, said and listed.
    DataError: points that are in no image, or not one image could be searched.
    """
    checkpoint.check_writable(out)
    config: dict[str, Any] = {"grid": grid} if grid else {}
    one, dataset = next(contestants([run], 0, device_named(device), **config)), open_dataset(data)
    known = set(dataset.ids)
    given = {id: named for id, named in read_points(points, one.steps[0].ndim).items() if id in known}
    if not given:
        remedy = f"Column image must hold ids, such as {dataset.ids[0]}."
        raise DataError("no image of the data has points in it", file=points, remedy=remedy)
    names = list(dict.fromkeys(name for named in given.values() for name in named))
    files = output_names(dataset.ids, names) if heat else {}
    wanted, table, aside = _templates(one, dataset, given), list[dict[str, Any]](), SetAside()
    left = {id: some for id in dataset.ids if (some := [name for name in wanted if name not in given.get(id, {})])}
    show = shower("searching")
    for done, (id, some) in enumerate(left.items(), 1):
        stems = zip(names, files.get(id, ()), strict=heat)
        maps = {name: out / HEAT / f"{stem}{SUFFIX[one.steps[0].ndim]}" for name, stem in stems if name in some}
        try:
            table += _sought(one, dataset, id, {name: wanted[name] for name in some}, maps)
        except VesaliusError as error:
            aside.add(dataset.path(id) or id, f"{error.reason}. {error.remedy}")
        show(done, len(left))
    aside.write(out)
    if not table:
        reason = aside.rows[0]["reason"] if aside.rows else "every place is given in every image"
        raise DataError(f"there is nothing to search: {reason}", file=data)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    checkpoint.write_bytes(out / PLACES, text.getvalue().encode())
    return out / PLACES


def _look(one: Contestant, dataset: Dataset, id: str) -> Looked:
    scan = dataset.read(id)
    prepared = prepare(scan, one.steps)
    subject = unlabelled(prepared)
    return Looked(scan, prepared, one.steps, sight(one.embed, subject, subject.image, one.config))


def _templates(one: Contestant, dataset: Dataset, given: Mapping[str, Mapping[str, Array]]) -> dict[str, Tensor]:
    """Name -> (D,) of length 1."""
    vectors: dict[str, list[Tensor]] = defaultdict(list)
    for id, named in given.items():
        looked = _look(one, dataset, id)
        prepared = looked.prepared
        places = to_prepared(named, one.steps, prepared.trace, prepared.scan.shape, id, strict=True)
        for name, vector in zip(places, looked.seen.at(np.stack(list(places.values()))), strict=True):
            vectors[name].append(vector)
    return {name: unit(torch.stack(some).mean(0, keepdim=True))[0] for name, some in vectors.items()}


def _sought(
    one: Contestant, dataset: Dataset, id: str, wanted: Mapping[str, Tensor], files: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """A line of the table for each of `wanted`, by name; `files`, where there are any, get the maps."""
    looked = _look(one, dataset, id)
    field = looked.seen.fine()
    searched: Searched = looked.seen.field() if field is None else field
    heat = searched.heat(torch.stack(list(wanted.values())))
    apart = one.config.side * min(looked.prepared.scan.shape) / 2
    best = peaks(heat, searched.lattice, apart, generator(one.config.seed, 7))
    if files:
        maps = looked.as_read(heat, searched.lattice.cells)
        for name, one_map in zip(wanted, maps, strict=True):
            write_output(files[name], one_map, looked.scan)
    return list(_lines(looked, id, list(wanted), best, clear(best, heat, Landmarks.clear)))


def _lines(
    looked: Looked, id: str, names: Sequence[str], best: Peaks, found: NDArray[np.bool_]
) -> Iterator[dict[str, Any]]:
    voxels = restore_points(best.places, looked.steps, looked.prepared.trace)
    axes = ("x", "y", "z") if looked.scan.ndim == 3 else ("y", "x")
    for name, at, mm, cosine, sure in zip(
        names, voxels, scanner(looked.scan.affine, voxels), best.cosines, found, strict=True
    ):
        line = {"image": id, "name": name, "cosine": f"{cosine:.4f}", "found": int(sure)}
        line |= {axis: f"{value:.2f}" for axis, value in zip(axes, at, strict=True)}
        if np.isfinite(mm).all():
            line |= {f"{axis}_mm": f"{value:.2f}" for axis, value in zip(axes, mm, strict=True)}
        yield line
