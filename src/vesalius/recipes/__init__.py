"""One experiment a file: command, hours, hardware, the paper's number, our number. `vesalius run NAME` calls its `main`."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from vesalius.errors import SettingError
from vesalius.settings import unknown

Run = TypeVar("Run")


def names() -> tuple[str, ...]:
    """The recipes in this folder."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)


def find(name: str) -> ModuleType:
    """The module of recipe `name`; SettingError lists the near names."""
    if name not in names():
        raise unknown(name, name, names(), "recipe")
    module = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "main"):
        raise SettingError(f"recipe {name} has no main()", remedy="See CONTRIBUTING.md.")
    return module


def chosen(parts: Iterable[str], only: str) -> tuple[str, ...]:
    """The parts of a recipe that are asked for: `only`, or all where it is "". SettingError: there is none of that name."""
    every = tuple(parts)
    if only and only not in every:
        raise SettingError(f"setting only is {only!r}", remedy=f"Choose one of {', '.join(every)}.")
    return (only,) if only else every


def picked(known: Mapping[str, Run], runs: Sequence[str]) -> dict[str, Run]:
    """Those of `known` that are in `runs`, or all where none is given. SettingError: there is none of that name."""
    if missing := set(runs) - set(known):
        raise SettingError(f"setting runs has {', '.join(sorted(missing))}", remedy=f"There are {', '.join(known)}.")
    return {name: run for name, run in known.items() if not runs or name in runs}


def pretrained(method: str, /, *data: str, out: Path, **settings: Any) -> Path:
    """The encoder of a run in folder `out`: begun, or gone on with where there is one. Errors: those of vesalius.pretrain."""
    import vesalius  # torch loads with what it calls

    return vesalius.pretrain(method, *data, out=out, resume=(out / "config.json").exists(), **settings)
