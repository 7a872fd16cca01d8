"""`vesalius anatomy RUN... --data D`: every measure, for every run and its controls, into one results.jsonl."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from tyro.conf import arg

from vesalius import checkpoint, results
from vesalius.anatomy import compositionality, correspondence, landmarks, levels, locality, organs, registration
from vesalius.anatomy.contestants import SCANNER, Vectors, contestants
from vesalius.anatomy.marked import marked
from vesalius.anatomy.motion import CONDITIONS
from vesalius.anatomy.observe import Config, Observed, observe
from vesalius.anatomy.rows import saver
from vesalius.compute import device_named
from vesalius.data.cache import default_root, salt_of
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import official
from vesalius.errors import DataError, SettingError
from vesalius.features.command import read_points
from vesalius.features.subjects import Reader
from vesalius.progress import say, say_notes, shower
from vesalius.results import Row
from vesalius.zoo import Runs

MEASURES: Mapping[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (locality, compositionality, correspondence, landmarks, registration, organs, levels)
}
# These look everywhere, the others at some places.
OF_FIELDS = {"correspondence", "landmarks", "registration", "levels"}
SETTINGS = "anatomy.json"


def anatomy_command(
    runs: Annotated[tuple[str, ...], arg(metavar="RUN...")],
    /,
    data: str,
    out: str = "",
    split: str = "",
    annotated: str = "",
    points: str = "",
    structures: tuple[str, ...] = (),
    limit: int = 0,
    measures: tuple[str, ...] = tuple(MEASURES),
    conditions: tuple[str, ...] = CONDITIONS,
    vectors: Vectors = "auto",
    side: float = Config.side,
    wider: tuple[float, ...] = (),
    size: int = 0,
    grid: int = 0,
    fine: int = Config.fine,
    sampled: int = -1,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """What encoders know of the body, beside what chance knows. `vesalius report` makes a page of it.

    Args:
        runs: run folders or encoder files
        data: PATH, NAME:PATH or NAME:PATH?option=value; with landmarks or masks, or with --points
        out: folder for results.jsonl; default: the run's own, where there is one RUN
        split: measure on this split of the data alone
        annotated: split whose landmarks are given to the search for landmarks; default: the other images measured
        points: CSV image,name,x,y[,z] in voxels of the image as stored, in place of the data set's own landmarks
        structures: landmarks and masks to look at; default: all
        limit: so many images at most
        measures: those wanted
        conditions: how images are shown: upright, and any of shift, rotation, zoom, all
        vectors: of patches around places, or of voxels, from the pyramid of the whole image; auto: of voxels where the
            encoder's finest level has a cell for each
        side: of a patch, share of the image's short side
        wider: sides of further patches around the same point, whose vectors are put beside the first one's
        size: of a patch as the network sees it, px; 0 = as the run was trained, else 224 (beside an encoder of voxels: 16)
        grid: cells of a map along the short side; 0 = 16 (beside an encoder of voxels: 10)
        fine: cells of the map in which an encoder of voxels seeks landmarks, along the short side; 0 = every voxel
        sampled: voxels of each structure and image, for the measure organs; -1 = none (beside an encoder of voxels: 20)
        seed: of motions, draws and random weights
        device: auto, cpu or cuda
        overwrite: measure anew where `out` holds other measures
    """
    given: dict[str, Any] = {**({"grid": grid} if grid else {}), **({"sampled": sampled} if sampled >= 0 else {})}
    measure(
        runs, data, out or None, split=split, annotated=annotated, points=points, structures=structures, limit=limit,
        measures=measures, conditions=conditions, vectors=vectors, side=side, wider=wider, size=size, fine=fine, seed=seed,
        device=device, overwrite=overwrite, **given,
    )  # fmt: skip


def measure(
    runs: Runs,
    data: str,
    out: str | Path | None = None,
    *,
    split: str = "",
    annotated: str = "",
    points: str = "",
    structures: Sequence[str] = (),
    limit: int = 0,
    measures: Sequence[str] = tuple(MEASURES),
    vectors: Vectors = "auto",
    size: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    key: bytes | None = None,
    **config: Any,
) -> Path:
    """The rows of all runs and controls, appended to OUT/results.jsonl; a call that was stopped goes on where it was.

    runs: folders or files, or name -> folder or file. config: fields of `observe.Config`. key: hashes patients; by default
    the cache's. Returns the path of the rows.
    """
    if unknown := [name for name in measures if name not in MEASURES]:
        raise SettingError(f"there is no measure {unknown[0]!r}", remedy=f"Choose from {', '.join(MEASURES)}.")
    folder = _folder(runs, out)
    checkpoint.check_writable(folder)
    if "compositionality" not in measures:
        config["composed"] = 0
    everyone = list(contestants(runs, size, device_named(device), vectors, **config))
    dataset = open_dataset(data)
    say_notes(data, dataset)
    ids, known = _ids(dataset, split, limit), _ids(dataset, annotated, 0) if annotated else ()
    if overlap := set(ids) & set(known):
        raise SettingError(
            f"{len(overlap)} images are in both splits", remedy="Give different --split and --annotated."
        )
    own = read_points(Path(points), everyone[0].steps[0].ndim) if points else None
    settings = {"data": data, "split": split, "annotated": annotated, "limit": limit, "measures": list(measures)}
    settings |= {"points": Path(points).name, "structures": list(structures), "vectors": vectors.replace("auto", "")}
    state = State.open(folder, settings, overwrite)
    read = Reader(dataset, ids, known, salt_of(default_root()) if key is None else key, own)
    about = facts(dataset)
    for contestant in everyone:
        if state.holds(contestant.name, contestant.about):
            say(f"{contestant.name}: measured before")
            continue
        subjects, others = marked(*read(contestant.steps), structures, data)
        if contestant.embed == SCANNER and any(subject.affine is None for subject in (*subjects, *others)):
            say(f"{contestant.name}: left out, for images do not say where they lay")
            continue
        seen = observe(
            contestant.name, contestant.embed, subjects, contestant.config, data=about.name if about else "",
            annotated=others, fields=bool(OF_FIELDS & set(measures)), progress=shower(f"{contestant.name}: looking at images"),
        )  # fmt: skip
        found = [replace(row, split=split) for name in measures for row in rows(name, seen, folder)]
        if not found:
            raise DataError(
                "has neither landmarks nor masks to measure by", file=data, remedy="Give --points FILE.csv."
            )
        state.add(contestant.name, contestant.about, found)
    return folder / results.FILE


def rows(name: str, seen: Observed, folder: Path) -> Iterator[Row]:
    """The rows of one measure; its arrays go to FOLDER/artefacts."""
    module = MEASURES[name]
    yield from module.rows(seen, module.Config(), saver(folder, name, seen.name))


def _folder(runs: Runs, out: str | Path | None) -> Path:
    if not runs:
        raise SettingError("no run given", remedy="vesalius anatomy RUN... --data D")
    if out is not None:
        return Path(out)
    first, *others = runs.values() if isinstance(runs, Mapping) else runs
    if others or not Path(first).is_dir():
        raise SettingError("no folder given for the results", remedy="Add --out FOLDER.")
    return Path(first)


def _ids(data: Dataset, split: str, limit: int) -> tuple[str, ...]:
    if not split:
        return data.ids[: limit or None]
    return official(data.splits(), split)[: limit or None]


@dataclass
class State:
    """Which contestants the rows of a folder are of, so that a call that was stopped goes on: FOLDER/anatomy.json."""

    folder: Path
    settings: Mapping[str, Any]
    done: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any], overwrite: bool) -> "State":
        """What is there. SettingError where it was measured with other settings, unless told to overwrite."""
        path = folder / SETTINGS
        if overwrite or not path.exists():
            return cls(folder, settings)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            before, done = found["settings"], dict(found["done"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"cannot be read ({error})", file=path, remedy="Delete it, or add --overwrite.") from error
        other = [name for name in settings if (before.get(name) or None) != (settings[name] or None)]
        if other:
            reason = f"holds measures with another {other[0]}: {before.get(other[0])!r}, not {settings[other[0]]!r}"
            raise SettingError(reason, file=folder, remedy="Give another --out, or add --overwrite.")
        return cls(folder, settings, done)

    def holds(self, name: str, about: Mapping[str, Any]) -> bool:
        """Whether `name` was measured, with these settings, to its end."""
        return bool(self.done.get(name) == json.loads(json.dumps(about)))

    def add(self, name: str, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """Put the rows of `name` in place of any that it has."""
        path = self.folder / results.FILE
        others = results.read(path) if path.exists() else []
        kept = [row for row in others if row.run != name or row.measure not in MEASURES]
        results.write(path, [*kept, *rows])
        self.done[name] = about
        text = json.dumps({"settings": self.settings, "done": self.done}, indent=2)
        checkpoint.write_bytes(self.folder / SETTINGS, text.encode())
