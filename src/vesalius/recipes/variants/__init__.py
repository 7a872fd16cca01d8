"""Several pretrainings that differ in little: trained one after the other or side by side, gone on with, written down."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from vesalius import checkpoint, zoo
from vesalius.errors import SettingError
from vesalius.recipes import chosen, pretrained, recorded
from vesalius.recipes.tables import curves

Variants = Mapping[str, tuple[str, Mapping[str, Any]]]  # name of a run -> method, its own settings


def pretrain(
    variants: Variants,
    sources: Sequence[str],
    out: Path,
    settings: Mapping[str, Any],
    method: Mapping[str, Any],
    only: str,
) -> None:
    """Train each of `variants` into OUT/NAME, or go on with it. settings: of all; method: of all methods.

    only: one of them, or "" for all. SettingError: there is none of that name.
    """
    for name in chosen(variants, only):
        kind, own = variants[name]
        print(pretrained(kind, *sources, out=out / name, **settings, method={**method, **own}))


def write_down(
    variants: Variants, out: Path, root: Path, name: str, data: str, weights: Collection[str] | None = None
) -> None:
    """Of the runs in `out` that have finished: rows, curves and hardware join recipes/results; of those in `weights`, or of
    all, the encoders in bf16 go to weights/. root: of a checkout. name: of the recipe. data: in words.

    SettingError, and what was recorded before stays: none has finished."""
    folder = root / recorded.RESULTS
    runs = {run: out / run for run in variants if _finished(out / run)}
    if not runs:
        remedy = f"Train first, without --record: vesalius run {name}. Or name the folder of the runs with --out."
        raise SettingError("no run has finished here, so there is nothing to record", file=out, remedy=remedy)
    table, lines = folder / f"{name}.csv", curves.curve(runs)
    recorded.join(folder / f"{name}.jsonl", [row for run, path in runs.items() for row in curves.rows(path, run, data)])
    for run, path in runs.items():
        if weights is None or run in weights:
            zoo.export(path, root / "weights" / f"{name}-{run}.safetensors", bf16=True)
    checkpoint.write_bytes(
        table, curves.joined(table.read_text(encoding="utf-8") if table.exists() else "", lines).encode()
    )
    about = {"hardware": curves.hardware(), "data": zoo.load(next(iter(runs.values()))).card.data}
    checkpoint.write_bytes(folder / f"{name}.json", (json.dumps(about, indent=2) + "\n").encode())


def _finished(folder: Path) -> bool:
    """Whether the run's last stage has ended: an encoder lies there from the first epochs on."""
    from vesalius.train.run import read  # torch loads with it

    config = folder / "config.json"
    return config.exists() and (folder / f"stage{int(read(config).method.stages) - 1}.safetensors").exists()
