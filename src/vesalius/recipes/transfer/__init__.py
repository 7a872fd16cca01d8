"""Studies of transfer that share encoders: measured one after the other into one file, gone on with, written down."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vesalius import checkpoint, results, zoo
from vesalius.evaluate.command import evaluate
from vesalius.evaluate.study import Study
from vesalius.recipes import chosen, picked, recorded
from vesalius.recipes.tables import curves
from vesalius.results import Row
from vesalius.settings import to_dict
from vesalius.zoo import Runs

KEPT = ("dice", "auc")  # IoU follows from Dice; pictures of patients are not handed on


Studies = Mapping[str, tuple[Runs, Study]]  # name -> the encoders, and what is asked of them


def run(studies: Studies, out: str, only: str, root: str, name: str, runs: Sequence[str] = ()) -> None:
    """What a recipe called `name` does: `measure`, or, with the `root` of a checkout to record in, `write_down`."""
    if root:
        write_down(studies, Path(out), Path(root), name)
    else:
        measure(studies, Path(out), only, runs)


def measure(studies: Studies, out: Path, only: str, runs: Sequence[str] = ()) -> None:
    """Each of `studies` into OUT/results.jsonl, or, of several data sets, each of these into a folder below.

    only: one of them, or "". runs: of its encoders, or () for all.
    SettingError: there is none of that name.
    """
    for name in chosen(studies, only):
        every, study = studies[name]
        known = picked(dict(zoo.named(every)), runs)
        print(f"{name}: {study.protocol} on {_source(study)}")
        print(evaluate(known, _folders(studies, out)[_source(study)], study))


def write_down(studies: Studies, out: Path, root: Path, name: str) -> None:
    """The rows in OUT join recipes/results of a checkout, small enough to keep: four digits, short hashes of patients.

    Beside them go, of AUC, the scores that it was computed from; and the settings and the hardware. name: of the recipe.
    """
    folder = root / recorded.RESULTS
    patient = recorded.public(study.data for _, study in studies.values())
    for own in _folders(studies, out).values():
        rows = results.read(own / results.FILE) if (own / results.FILE).exists() else []
        kept = [_short(row, own, folder, name, patient) for row in rows if row.name in KEPT]
        recorded.join(folder / f"{name}.jsonl", kept)
    settings = {key: {**to_dict(study), "data": _source(study)} for key, (_, study) in studies.items()}
    about = {"hardware": curves.hardware(), "studies": settings}
    checkpoint.write_bytes(folder / f"{name}.json", (json.dumps(about, indent=2) + "\n").encode())


def _source(study: Study) -> str:
    """The name of its data set."""
    return study.data.partition(":")[0]


def _folders(studies: Studies, out: Path) -> dict[str, Path]:
    """Data set -> where its rows lie: `evaluate` refuses those of two in one folder."""
    sources = {_source(study) for _, study in studies.values()}
    return {source: out / source if len(sources) > 1 else out for source in sources}


def _short(row: Row, out: Path, folder: Path, name: str, patient: Callable[[str], str]) -> Row:
    """`row` as it is kept; its scores are copied to FOLDER/NAME."""
    kept = ""
    if row.artefact:
        kept = f"{name}/{Path(row.artefact).name}"
        with np.load(out / row.artefact, allow_pickle=False) as arrays:
            short = {
                "patient": np.array([patient(str(one)) for one in arrays["patient"]]),
                "label": arrays["label"].astype(np.uint8),
                "score": arrays["score"].astype(np.float32),
            }
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / kept, allow_pickle=False, **short)
    return replace(row, value=round(row.value, 4), patient=patient(row.patient), artefact=kept)
