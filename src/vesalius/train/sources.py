"""From the words of `data` to scans ready for crops: open, keep patients out, prepare, hold out, write down which."""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesalius.data.build import Built, build
from vesalius.data.cache import Cache, default_root, key_hash
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.prepare import steps_for, steps_to_json
from vesalius.data.splits import holdout
from vesalius.data.tables import read_list
from vesalius.errors import DataError
from vesalius.progress import say, shower
from vesalius.train.batches import Scans
from vesalius.train.run import Run

Who = tuple[str, int, int]  # patient, with the number of the source before it; number of the source; place in its cache


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


def open_sources(run: Run[Any]) -> Sources:
    """Open and prepare all sources of `run`. DataError where nothing is left; a bad file is set aside and named."""
    if not run.data:
        raise DataError("no data given", remedy="Give a folder of images, NAME:PATH, or phantom.")
    steps = steps_for(run.ndim, run.size, grey=run.grey)
    datasets = [open_dataset(spec) for spec in run.data]
    unwanted = _unwanted(run.exclude_patients, datasets)
    caches: list[Cache] = []
    about, aside, who = [], [], list[Who]()
    for number, (spec, dataset) in enumerate(zip(run.data, datasets, strict=True)):
        ids = [i for i in dataset.ids if dataset.patient(i) not in unwanted]
        if not ids:
            raise DataError(f"no image is left of {len(dataset.ids)}", file=spec, remedy="Check exclude_patients.")
        built = build(dataset, ids, steps, _root(run.cache), progress=shower(f"preparing {spec}"))
        caches.append(built.cache)
        aside += [{"file": str(path), "reason": reason} for _, path, reason in built.set_aside]
        bad = {i for i, _, _ in built.set_aside}
        who += [(f"{number}/{dataset.patient(i)}", number, at) for at, i in enumerate(i for i in ids if i not in bad)]
        about.append(_about(dataset, built, excluded=len(dataset.ids) - len(ids)))
    _say_set_aside(aside)
    train, watch = _hold_out(who, run.holdout, run.seed)
    return Sources(
        train=Scans(caches, [(number, at) for _, number, at in train]),
        watch=Scans(caches, [(number, at) for _, number, at in watch]),
        facts=about,
        patients=_hashed(train, watch),
        set_aside=aside,
        prepare=steps_to_json(steps),
    )


def prepare_only(spec: str, ndim: int, size: int, cache: str) -> str:
    """Fill the cache with a data set; the sentence that says what came of it."""
    dataset = open_dataset(spec)
    steps = steps_for(ndim, size)
    built = build(dataset, dataset.ids, steps, _root(cache), progress=shower(f"preparing {spec}"))
    _say_set_aside([{"file": str(path), "reason": reason} for _, path, reason in built.set_aside])
    return (
        f"{built.made} prepared, {built.reused} were there, {len(built.set_aside)} set aside; in {built.cache.folder}"
    )


def _root(setting: str) -> Path:
    return Path(setting).expanduser() if setting else default_root()


def _unwanted(setting: str, datasets: list[Dataset]) -> frozenset[str]:
    """The patients to keep out. DataError where not one of them is in the data: then the list means something else."""
    if not setting:
        return frozenset()
    listed = frozenset(read_list(Path(setting)))
    if not any(dataset.patient(i) in listed for dataset in datasets for i in dataset.ids):
        remedy = "Its lines must be patients as the data set names them: see vesalius inspect."
        raise DataError(f"none of its {len(listed)} patients is in the data", file=setting, remedy=remedy)
    return listed


def _hold_out(who: list[Who], share: float, seed: int) -> tuple[list[Who], list[Who]]:
    if not share:
        return who, []
    patients = {f"{number}-{at}": patient for patient, number, at in who}
    _, held = holdout(list(patients), patients.__getitem__, share, seed)
    out = set(held)
    return [w for w in who if f"{w[1]}-{w[2]}" not in out], [w for w in who if f"{w[1]}-{w[2]}" in out]


def _hashed(train: list[Who], watch: list[Who]) -> dict[str, Any]:
    """Keyed hashes of the patients, with their key: enough to ask whether a known patient is among them, not who they are."""
    salt = secrets.token_bytes(32)
    sets = {"train": train, "watch": watch}
    names = {split: {patient.split("/", 1)[1] for patient, _, _ in some} for split, some in sets.items()}
    return {
        "key": salt.hex(),
        **{split: sorted(key_hash(salt, name) for name in some) for split, some in names.items()},
    }


def _about(dataset: Dataset, built: Built, excluded: int) -> dict[str, Any]:
    """What the card says of a source: its name, counts and fingerprint, not its place on this disk."""
    known = facts(dataset)
    contents = "".join(sorted(entry.content for entry in built.cache.entries))
    return {
        "dataset": known.name if known else type(dataset).__module__,
        "licence": known.licence if known else "unknown",
        "images": len(built.cache),
        "patients": len({entry.patient for entry in built.cache.entries}),
        "set_aside": len(built.set_aside),
        "excluded": excluded,
        "fingerprint": hashlib.blake2b(contents.encode(), digest_size=16).hexdigest(),
    }


def _say_set_aside(aside: list[dict[str, str]]) -> None:
    for row in aside[:5]:
        say(f"set aside: {row['file']}: {row['reason']}")
    if len(aside) > 5:
        say(f"set aside: {len(aside) - 5} more; all are named beside the cache and in the run's set_aside.json")
