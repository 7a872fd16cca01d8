"""How a measure says its numbers: rows that know whose they are, and arrays saved beside them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vesalius.anatomy.observe import Observed
from vesalius.results import Row, save

Saver = Callable[
    [Mapping[str, NDArray[Any]]], str
]  # arrays -> the path that a row names, beside results.jsonl; "" if none


def row(seen: Observed, measure: str, name: str, value: float, **about: Any) -> Row:
    """A row of what was observed; the unit follows from the name."""
    unit = "mm" if name.endswith("_mm") else "px" if name.endswith("_px") else ""
    seed = seen.config.seed
    return Row(measure=measure, name=name, value=value, run=seen.name, data=seen.data, unit=unit, seed=seed, **about)


def nowhere(_: Mapping[str, NDArray[Any]]) -> str:
    """A Saver that keeps nothing."""
    return ""


def saver(folder: Path, measure: str, run: str) -> Saver:
    """A Saver to FOLDER/artefacts/MEASURE-RUN.npz. DataError where it cannot be written."""
    return lambda arrays: save(folder, f"{measure}-{run}", arrays)
