"""Typed, frozen settings: nested dictionaries in, dataclasses out. An unknown key or a wrong type is an error.

The same names hold in Python (`optim={"lr": 0.1}`), on the command line (`--optim.lr 0.1`) and in the saved JSON.
"""

import dataclasses
import difflib
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vesalius.errors import SettingError

T = TypeVar("T")


def to_dict(config: Any) -> Any:
    """Settings as JSON-able values: dataclasses become dictionaries, tuples lists, paths strings."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(key): to_dict(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_dict(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def replace(config: T, values: Mapping[str, Any], where: str = "") -> T:
    """`config` with `values` put in place, nested dictionaries into nested settings; SettingError names near keys."""
    assert dataclasses.is_dataclass(config)
    hints = get_type_hints(type(config))
    changed = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if key not in hints:
            raise unknown(name, key, tuple(hints))
        old = getattr(config, key)
        if dataclasses.is_dataclass(old) and isinstance(value, Mapping):
            changed[key] = replace(old, value, where=f"{name}.")
        elif dataclasses.is_dataclass(old) and isinstance(value, type(old)):
            changed[key] = value
        else:
            changed[key] = convert(value, hints[key], name)
    return dataclasses.replace(config, **changed)  # type: ignore[type-var]


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """A `kind` (a dataclass whose other fields have defaults) from a dictionary, as `to_dict` wrote it."""
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise unknown(f"{where}{key}", key, tuple(hints))
    converted = {key: convert(value, hints[key], f"{where}{key}") for key, value in values.items()}
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in values and _required(f)]  # type: ignore[arg-type]
    if missing:
        raise SettingError(f"setting {where}{missing[0]} is missing", remedy="Give it a value.")
    return kind(**converted)


def unknown(name: str, key: str, known: tuple[str, ...], what: str = "setting") -> SettingError:
    """The error for a `what` called `name` that nobody knows, with the names near to `key`."""
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known))}."
    return SettingError(f"unknown {what} {name}", remedy=remedy)


def least(settings: Any, low: float, *names: str, where: str = "") -> None:
    """SettingError for the first of the named numbers that is below `low`, or is NaN; words are passed over."""
    for name in names:
        _check(settings, name, where, lambda value: value >= low, f"at least {low}")


def within(settings: Any, low: float, high: float, *names: str, where: str = "") -> None:
    """SettingError for the first of the named numbers, or one of a tuple of them, that is not in low..high."""
    for name in names:
        _check(settings, name, where, lambda value: low <= value <= high, f"from {low} to {high}")


def ascending(settings: Any, *names: str, where: str = "") -> None:
    """SettingError for the first of the named pairs whose second number is below its first."""
    for name in names:
        first, second = getattr(settings, name)
        if not first <= second:
            reason = f"setting {where}{name} is {first} {second}"
            raise SettingError(reason, remedy="It must be the least and the greatest, in this order.")


def _check(settings: Any, name: str, where: str, good: Callable[[float], bool], words: str) -> None:
    value = getattr(settings, name)
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not good(number):
            raise SettingError(f"setting {where}{name} is {value}", remedy=f"It must be {words}.")


def convert(value: Any, hint: Any, name: str) -> Any:
    """`value` as the type `hint`, where that loses nothing (a list for a tuple, 1 for 1.0); else SettingError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return value
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, arguments, hint, name)
    if origin is Literal:
        if value in arguments:
            return value
        raise SettingError(f"setting {name} is {value!r}", remedy=f"Choose one of {', '.join(map(repr, arguments))}.")
    if origin is tuple and isinstance(value, list | tuple):
        items = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(items) == len(value):
            return tuple(convert(v, h, f"{name}[{i}]") for i, (v, h) in enumerate(zip(value, items, strict=True)))
    elif dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value, where=f"{name}.")  # type: ignore[arg-type]
    elif _is_plain(value, origin or hint):
        return hint(value) if hint in (float, Path) else value
    raise SettingError(f"setting {name} is {value!r}", remedy=f"It must be {_words(hint)}.")


def _first_that_fits(value: Any, hints: tuple[Any, ...], whole: Any, name: str) -> Any:
    for hint in hints:
        try:
            return convert(value, hint, name)
        except SettingError:
            continue
    raise SettingError(f"setting {name} is {value!r}", remedy=f"It must be {_words(whole)}.")


def _is_plain(value: Any, kind: Any) -> bool:
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str | Path)
    return isinstance(kind, type) and isinstance(value, kind)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _words(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint).replace("typing.", "")
