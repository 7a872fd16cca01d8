"""Data sets. This folder is the registry: a module here (or of your own) with `FACTS` and `Dataset` is a data set.

A spec names one: `PATH` (a folder of images), `NAME:PATH`, or `NAME:PATH?option=value&option=value`. Write %26 for an &
inside a value. `NAME` is a module of this folder or a dotted module of your own. The option `only=train,valid` is known to
all: nothing but these splits is there.
"""

import dataclasses
import importlib
import os
import pkgutil
import re
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote

from vesalius.data.footprint import content
from vesalius.data.hounsfield import believed
from vesalius.data.scan import Labels, Scan
from vesalius.data.tables import near
from vesalius.errors import DataError, SettingError


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is published about a data set. images, patients: 0 where they are not fixed."""

    name: str
    title: str
    modality: str
    ndim: int
    images: int
    patients: int
    licence: str
    cite: str


@runtime_checkable
class Dataset(Protocol):
    """What every data set offers. It holds facts and reads; it does not preprocess. Ids are sorted and stable."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every image there is, sorted."""
        ...

    def patient(self, id: str, /) -> str:
        """The raw identifier of the image's patient: never print or save it."""
        ...

    def path(self, id: str, /) -> Path | None:
        """The image's file; None where it comes from no file."""
        ...

    def content(self, id: str, /) -> str:
        """A key that changes when, and only when, the image's bytes (or parameters) change."""
        ...

    def read(self, id: str, /) -> Scan:
        """The image as stored. DataError where it cannot be read."""
        ...

    def labels(self, id: str, /) -> Labels:
        """What is known about the image."""
        ...

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The official split, name -> ids that are present; {} where there is none."""
        ...


class OnDisk(ABC):
    """What data sets of one file an image share. A subclass says which files there are and whose they are."""

    root: Path

    @property
    @abstractmethod
    def files(self) -> Mapping[str, str]:
        """Id -> path below root, with forward slashes."""

    @abstractmethod
    def patient(self, id: str, /) -> str:
        """The raw identifier of the image's patient."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how files and tables were matched: one sentence each."""
        return ()

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Every image there is, sorted."""
        return tuple(sorted(self.files))

    def path(self, id: str, /) -> Path:
        """The image's file. DataError for an id that is not there."""
        if id not in self.files:
            raise DataError(f"no image {id!r}", file=self.root, remedy=near(id, self.ids, "Images"))
        return self.root / self.files[id]

    def content(self, id: str, /) -> str:
        """Blake2b of the bytes of the image's files, 128 bits in hex. DataError where one cannot be read."""
        return content(self.path(id))

    def read(self, id: str, /) -> Scan:
        """The image as stored, with its id, patient and what the tables say about it."""
        from vesalius.data.files import read  # Pillow loads when an image is read, not before

        scan, told = read(self.path(id)), self.meta(id)
        meta, unit = {**scan.meta, **told}, believed(scan, told)
        return dataclasses.replace(scan, id=id, patient=self.patient(id), meta=meta, unit=unit)

    def meta(self, id: str, /) -> dict[str, str]:
        """Site, view, sex, age band, modality where a table gives them."""
        return {}

    def labels(self, id: str, /) -> Labels:
        """Nothing is known unless a subclass knows it."""
        return Labels()

    def splits(self) -> dict[str, tuple[str, ...]]:
        """No official split unless a subclass has one."""
        return {}


class Part:
    """Some splits of a data set; in all else it is that data set."""

    def __init__(self, whole: Dataset, only: tuple[str, ...]) -> None:
        """SettingError: no split of that name."""
        from vesalius.data.splits import official

        self.whole = whole
        self._splits = {name: official(whole.splits(), name) for name in only}
        self.ids = tuple(sorted({id for part in self._splits.values() for id in part}))

    def __getattr__(self, name: str) -> Any:
        if name == "whole":  # while a pickle is read
            raise AttributeError(name)
        return getattr(self.whole, name)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The official splits that are left."""
        return dict(self._splits)


def names() -> tuple[str, ...]:
    """Data sets of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def facts(dataset: Dataset) -> Facts | None:
    """What is published about a data set: FACTS of the module it comes from."""
    whole = dataset.whole if isinstance(dataset, Part) else dataset
    found = getattr(sys.modules[type(whole).__module__], "FACTS", None)
    return found if isinstance(found, Facts) else None


def open_dataset(spec: str) -> Dataset:
    """The data set that a spec names. SettingError: unknown name or option. DataError: nothing there to read."""
    name, path, options = _parse(spec)
    kind: Any = _module(name).Dataset
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    values: dict[str, Any] = {}
    only = () if "only" in fields else _value(tuple[str, ...], options.pop("only", ""), "only")
    if "root" in fields:
        values["root"] = _root(path, name)
    elif path:
        raise SettingError(f"data set {name!r} takes no path, but {path!r} was given", remedy=f"Write {name}:?option=.")
    for key, text in options.items():
        if key not in fields or key == "root":
            known = [field for field in fields if field != "root"]
            raise SettingError(f"data set {name!r} has no option {key!r}", remedy=near(key, known, "Options"))
        values[key] = _value(hints[key], text, key)
    dataset: Dataset = kind(**values)
    dataset = Part(dataset, only) if only else dataset
    _ = dataset.ids  # an empty folder or a wrong manifest is an error now, not at hour three
    return dataset


def asked(spec: str) -> tuple[str, dict[str, str]]:
    """The name of the data set in a spec, and its options as they are written. SettingError: an option without a value."""
    name, _, options = _parse(spec)
    return name, options


def _parse(spec: str) -> tuple[str, str, dict[str, str]]:
    """NAME:PATH?key=value&... -> its pieces. A single letter before the colon is a drive of Windows."""
    if os.path.exists(os.path.expanduser(spec)):
        return "folder", spec, {}
    place, _, query = spec.partition("?")
    match = re.fullmatch(r"([A-Za-z_]\w+(?:\.\w+)*):(.*)", place, re.DOTALL)
    name, path = match.groups() if match else ("folder", place)
    if not match and place in names() and place != "folder":
        name, path = place, ""
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        key, equals, text = pair.partition("=")
        if not equals or key in options:
            raise SettingError(f"option {pair!r} in {spec!r}", remedy="Write ?option=value&option=value, each once.")
        options[key] = unquote(text)
    return name, path, options


def _module(name: str) -> types.ModuleType:
    """The module of a data set: of this folder, or anyone's where the name is dotted."""
    known = names()
    if name not in known and "." not in name:
        raise SettingError(f"unknown data set {name!r}", remedy=near(name, known, "Data sets"))
    dotted = f"{__name__}.{name}" if name in known else name
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is None or not dotted.startswith(error.name):
            raise  # the module is there, and lacks something of its own
        raise SettingError(f"no module {name!r}", remedy="Is its folder on PYTHONPATH?") from None
    if not hasattr(module, "Dataset"):
        raise SettingError(f"module {name!r} has no class Dataset", remedy=near(name, known, "Data sets"))
    return module


def _root(path: str, name: str) -> Path:
    root = Path(path).expanduser()
    if not path:
        raise SettingError(f"data set {name!r} needs a path", remedy=f"Write {name}:PATH.")
    if root.is_file():
        raise DataError("is a file, not a folder", file=root, remedy="Give the folder that holds the images.")
    if not root.is_dir():
        raise DataError("no such folder", file=root, remedy="Check the path.")
    return root


def _value(hint: Any, text: str, key: str) -> Any:
    """Text -> the type that the data set's field declares. SettingError where it does not fit."""
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], part.strip(), key) for part in text.split(",") if part.strip())
    if hint is bool and text.lower() in ("true", "1", "yes", "false", "0", "no"):
        return text.lower() in ("true", "1", "yes")
    try:
        if hint in (int, float, str, Path):
            return hint(text)
    except ValueError:
        pass
    kind_name = getattr(hint, "__name__", str(hint))
    raise SettingError(f"option {key}={text!r} is not of type {kind_name}", remedy=f"Give {key} as {kind_name}.")
