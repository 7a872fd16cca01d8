"""One paper a file; the folder is the registry: a method is found by its file's name, or by a dotted module's."""

import importlib
import pkgutil
import re
from types import ModuleType

from vesalius.errors import SettingError
from vesalius.settings import unknown

OFFERS = ("Config", "crops", "augment", "Method")


def names() -> tuple[str, ...]:
    """The methods in this folder."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.name != "step")


def find(name: str) -> ModuleType:
    """The module of method `name`, or of a dotted name of the user's own. SettingError names what it does not offer."""
    if name not in names() and not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", name):
        raise unknown(name, name, names(), "method")
    try:
        module = importlib.import_module(name if "." in name else f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        remedy = "Is it installed, and is its name spelled as Python imports it?"
        raise SettingError(f"method {name} cannot be imported ({error})", remedy=remedy) from error
    missing = [offer for offer in OFFERS if not hasattr(module, offer)]
    if missing:
        remedy = "See CONTRIBUTING.md, 'A new method'."
        raise SettingError(f"method {name} does not offer {', '.join(missing)}", remedy=remedy)
    return module
