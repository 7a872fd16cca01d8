"""How a measure says its numbers: rows that know whose they are, and arrays saved beside them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.anatomy.observe import Observed
from vesalius.errors import DataError
from vesalius.results import Row

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

    def save(arrays: Mapping[str, NDArray[Any]]) -> str:
        path = folder / "artefacts" / f"{measure}-{run}.npz"
        partial = path.with_suffix(".partial.npz")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **dict(arrays))
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            remedy = "Check the path and the space left."
            raise DataError(f"cannot be written ({error.strerror or error})", file=path, remedy=remedy) from error
        return f"artefacts/{path.name}"

    return save
