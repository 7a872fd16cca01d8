"""From the words of `data` to scans ready for crops: open, keep patients out, prepare, hold out, write down which."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vesalius.data import sidecar
from vesalius.data.build import Built, build
from vesalius.data.cache import Cache, CachedScan, Entry, default_root, outdated
from vesalius.data.coarse import kept_coarser, upsampled
from vesalius.data.datasets import Dataset, Part, facts, open_dataset
from vesalius.data.prepare import steps_for, steps_to_json
from vesalius.data.splits import exclude, holdout
from vesalius.data.steps import Step
from vesalius.data.tables import read_list
from vesalius.errors import DataError, SettingError
from vesalius.progress import say, say_notes, shower
from vesalius.train.admission import unsuited
from vesalius.train.batches import Scans
from vesalius.train.run import Run

Who = tuple[str, int, int]  # patient, with the number of the source before it; number of the source; place in its cache
Ids = tuple[str, ...]


@dataclass(frozen=True)
class Sources:
    """Scans to train on and to watch, and what is written down of them. facts: one entry a source, no patient in it.
    patients: keyed hashes, for the sidecar. set_aside: file and reason. prepare: the steps as JSON."""

    train: Scans
    watch: Scans
    facts: list[dict[str, Any]]
    patients: dict[str, Any]
    set_aside: list[dict[str, str]]
    prepare: list[Any]


@dataclass(frozen=True)
class Source:
    """One data set: the ids that were asked for, those in the cache, and of these the places that are used."""

    dataset: Dataset
    asked: Ids
    built: Built
    used: tuple[int, ...]

    def path(self, place: int) -> str:
        """The file of a scan in the cache, or its id where there is none."""
        id = self.built.cache.ids[place]
        return str(self.dataset.path(id) or id)


def open_sources(
    run: Run[Any],
    check_scan: Callable[..., None] | None = None,
    enough: Callable[[int], None] = lambda images: None,
) -> Sources:
    """Open and prepare all sources of `run`. DataError where nothing is left; a bad file is set aside and named.

    check_scan(shape, config): DataError where an image is too small for the method. enough(images): an error where
    they are too few, asked before they are prepared, and again when it is known which of them are trained on.
    """
    if not run.data:
        raise DataError("no data given", remedy="Give a folder of images, NAME:PATH, or phantom.")
    steps, root = prepare_steps(run), _root(run.cache)
    datasets = [open_dataset(spec) for spec in run.data]
    chosen = _chosen(run, datasets)
    for spec, dataset, ids in zip(run.data, datasets, chosen, strict=True):
        say_notes(spec, dataset)
        _refuse_others(spec, dataset, ids)
    enough(len(_hold_out(_who(datasets, chosen), run.holdout, run.seed)[0]))
    _say_outdated(root, steps)
    built = [
        build(dataset, ids, steps, root, progress=shower(f"preparing {spec}"))
        for spec, dataset, ids in zip(run.data, datasets, chosen, strict=True)
    ]
    for spec, one in zip(run.data, built, strict=True):
        if coarse := _coarse(one.cache, run.spacing, run.upsample):
            say(f"{spec}: {coarse}")
    sources, aside = _admitted(run, datasets, chosen, built, check_scan)
    _say_set_aside(aside)
    used = {(n, at) for n, source in enumerate(sources) for at in source.used}
    who = [one for one in _who(datasets, [one.cache.ids for one in built]) if one[1:] in used]
    train, watch = _hold_out(who, run.holdout, run.seed)
    enough(len(train))
    caches = [source.built.cache for source in sources]
    return Sources(
        train=Scans(caches, [(number, at) for _, number, at in train]),
        watch=Scans(caches, [(number, at) for _, number, at in watch]),
        facts=[_about(source) for source in sources],
        patients=_hashed(sidecar.key(Path(run.out)), [_name(dataset) for dataset in datasets], train, watch),
        set_aside=aside,
        prepare=steps_to_json(steps),
    )


def prepare_steps(run: Run[Any]) -> tuple[Step, ...]:
    """How `run` prepares every image, those that it is probed with as well."""
    return steps_for(run.ndim, run.size, run.spacing or None, run.grey, run.body, run.upsample)


def prepare_only(
    spec: str,
    ndim: int,
    size: int,
    cache: str,
    grey: bool = True,
    spacing: tuple[float, ...] = (),
    body: bool = False,
    upsample: bool = False,
) -> str:
    """Fill the cache with a data set; the sentence that says what came of it."""
    if ndim not in (2, 3) or size < 1:
        raise SettingError(f"ndim {ndim}, size {size}", remedy="ndim is 2 or 3, and size at least 1.")
    dataset = open_dataset(spec)
    say_notes(spec, dataset)
    steps, root = steps_for(ndim, size, spacing or None, grey, body, upsample), _root(cache)
    _say_outdated(root, steps)
    built = build(dataset, dataset.ids, steps, root, progress=shower(f"preparing {spec}"))
    _say_set_aside(_unreadable(built))
    done = (
        f"{built.made} prepared, {built.reused} were there, {len(built.set_aside)} set aside; in {built.cache.folder}"
    )
    return "\n".join(filter(None, (_coarse(built.cache, spacing, upsample), done)))


def _root(setting: str) -> Path:
    return Path(setting).expanduser() if setting else default_root()


def _coarse(cache: Cache, mm: tuple[float, ...], upsample: bool) -> str:
    return upsampled(cache, mm) if upsample else kept_coarser(cache.entries, mm)


def _say_outdated(root: Path, steps: Sequence[Step]) -> None:
    for folder in outdated(root, steps):
        say(f"{folder}: of an earlier version, whose images are no longer read but prepared anew: it can be deleted")


def _chosen(run: Run[Any], datasets: Sequence[Dataset]) -> list[Ids]:
    """The ids of each data set without those of unwanted patients. DataError where the list cannot be meant."""
    if not run.exclude_patients:
        return [dataset.ids for dataset in datasets]
    path = Path(run.exclude_patients).expanduser()
    listed = set(read_list(path))
    here = [any(dataset.patient(id) in listed for id in dataset.ids) for dataset in datasets]
    if not any(here):
        remedy = "Its lines must be patients as the data set names them: see vesalius inspect."
        raise DataError(f"none of its {len(listed)} patients is in the data", file=path, remedy=remedy)
    chosen = [exclude(d.ids, d.patient, path) if some else d.ids for d, some in zip(datasets, here, strict=True)]
    total, kept = (sum(map(len, each)) for each in ([dataset.ids for dataset in datasets], chosen))
    say(f"kept out {total - kept:,} of {total:,} images: their patients are in {path}")
    return chosen


def _refuse_others(spec: str, dataset: Dataset, ids: Ids) -> None:
    """SettingError where a data set says what is for pretraining, by a split of that name, and `ids` holds other images."""
    whole = dataset.whole if isinstance(dataset, Part) else dataset
    own = whole.splits().get("pretrain")
    if own is not None and (others := len(set(ids) - set(own))):
        reason = f"{others:,} of {len(ids):,} images are not of the split pretrain, but for labels or the test"
        raise SettingError(reason, file=spec, remedy="Take that split alone: &only=pretrain.")


def _admitted(
    run: Run[Any],
    datasets: Sequence[Dataset],
    chosen: Sequence[Ids],
    built: Sequence[Built],
    check_scan: Callable[..., None] | None,
) -> tuple[list[Source], list[dict[str, str]]]:
    """The sources with the places that are used, and file and reason of everything that is not."""
    places = [(n, at) for n, one in enumerate(built) for at in range(len(one.cache))]
    every = [Source(*each, tuple(range(len(each[-1].cache)))) for each in zip(datasets, chosen, built, strict=True)]

    def file(i: int) -> str:
        return every[places[i][0]].path(places[i][1])

    def scan(i: int) -> CachedScan:
        found: CachedScan = built[places[i][0]].cache[places[i][1]]
        return found

    bad = unsuited(run, [built[n].cache.entries[at] for n, at in places], check_scan, file, scan)
    out = {places[i] for i in bad}
    sources = [replace(one, used=tuple(at for at in one.used if (n, at) not in out)) for n, one in enumerate(every)]
    unfit = [{"file": file(i), "reason": reason} for i, reason in bad.items()]
    return sources, [row for one in built for row in _unreadable(one)] + unfit


def _unreadable(built: Built) -> list[dict[str, str]]:
    return [{"file": str(path or id), "reason": reason} for id, path, reason in built.set_aside]


def _who(datasets: Sequence[Dataset], ids: Sequence[Ids]) -> list[Who]:
    """Patient, source and place of every id."""
    every = enumerate(zip(datasets, ids, strict=True))
    return [(f"{n}/{dataset.patient(id)}", n, at) for n, (dataset, some) in every for at, id in enumerate(some)]


def _hold_out(who: list[Who], share: float, seed: int) -> tuple[list[Who], list[Who]]:
    if not share:
        return who, []
    patients = {f"{number}-{at}": patient for patient, number, at in who}
    if len(set(patients.values())) < 2:
        remedy = "Set holdout to 0, or say whose images they are: ?manifest= or ?patient_regex= after the folder."
        raise DataError(f"all {len(who)} images are of one patient, so none can be held out", remedy=remedy)
    _, held = holdout(list(patients), patients.__getitem__, share, seed)
    out = set(held)
    return [w for w in who if f"{w[1]}-{w[2]}" not in out], [w for w in who if f"{w[1]}-{w[2]}" in out]


def _hashed(key: bytes, names: Sequence[str], train: list[Who], watch: list[Who]) -> dict[str, Any]:
    """Hashes of the patients of each data set, with their key: the run's sidecar. names: of the data sets."""

    def of(some: list[Who], number: int) -> list[str]:
        return sidecar.hashes(key, {patient.split("/", 1)[1] for patient, n, _ in some if n == number})

    every = [{"dataset": name, "train": of(train, n), "watch": of(watch, n)} for n, name in enumerate(names)]
    return {"key": key.hex(), "sources": every}


def _about(source: Source) -> dict[str, Any]:
    """What the card says of a source: its name, counts and fingerprint, not its place on this disk."""
    known = facts(source.dataset)
    entries: list[Entry] = [source.built.cache.entries[at] for at in source.used]
    contents = "".join(sorted(entry.content for entry in entries))
    return {
        "dataset": _name(source.dataset),
        "licence": known.licence if known else "unknown",
        "images": len(entries),
        "patients": len({entry.patient for entry in entries}),
        "set_aside": len(source.asked) - len(entries),
        "excluded": len(source.dataset.ids) - len(source.asked),
        "fingerprint": hashlib.blake2b(contents.encode(), digest_size=16).hexdigest(),
    }


def _name(dataset: Dataset) -> str:
    known = facts(dataset)
    return known.name if known else type(dataset).__module__


def _say_set_aside(aside: list[dict[str, str]]) -> None:
    for row in aside[:5]:
        say(f"set aside: {row['file']}: {row['reason']}")
    if len(aside) > 5:
        say(f"set aside: {len(aside) - 5} more; all are named beside the cache and in the run's set_aside.json")
