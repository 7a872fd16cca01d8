"""One experiment a file: command, hours, hardware, the paper's number, our number. `vesalius run NAME` calls its `main`."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from vesalius.errors import SettingError
from vesalius.settings import unknown


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
