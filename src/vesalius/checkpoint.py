"""What a file of weights holds: tensors, and a card that says what they are. safetensors with JSON inside, never a pickle.

One file, written beside its place and then renamed, so that a crash or a full disk leaves the previous file whole.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from vesalius.errors import CheckpointError, SettingError
from vesalius.settings import from_dict, to_dict
from vesalius.version import __version__

FORMAT = 1


@dataclass(frozen=True)
class Card:
    """The instructions that weights carry with them.

    backbone: arguments of `zoo.build` plus channels and strides. unit: of the network's input. prepare: the steps from a
    raw scan to the network's input, as `prepare.steps_to_json` gives. method, config: who trained it and how. data: one
    entry a source with its fingerprint, counts and licence; never a patient. classes: of a task's head, empty here.
    parent: the checkpoint that this one was started from. notices: licences and patents a user should know.
    """

    backbone: dict[str, Any]
    kind: str = "encoder"
    unit: str = "0..1"
    prepare: list[Any] = field(default_factory=list)
    method: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    stage: int = 0
    step: int = 0
    parent: str | None = None
    task: str = ""
    classes: list[str] = field(default_factory=list)
    data: list[Any] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    version: str = __version__


def write(path: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write `tensors` and `card` to `path` atomically; CheckpointError where the disk refuses, the old file untouched."""
    plain: dict[str, Tensor] = {}
    taken = set[int]()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        plain[name] = own.clone() if place in taken else own  # safetensors refuses tensors that share memory
        taken.add(place)
    write_bytes(path, serialise(plain, {"vesalius": json.dumps(to_dict(card), sort_keys=True)}))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, flush it to the disk, and rename it into place; CheckpointError on failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise not_written(path, error) from error


def append_line(path: Path, line: str) -> None:
    """Append one line of text; CheckpointError where the disk refuses."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> CheckpointError:
    """The error for a file that the disk refused."""
    remedy = "Make room or choose another folder; what was saved before is untouched, so --resume goes on from there."
    return CheckpointError(f"could not be written ({error.strerror or error})", file=path, remedy=remedy)


def check_writable(folder: Path) -> None:
    """Make `folder` where it is not there; CheckpointError, before any work, where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        remedy = "Choose another folder, or change its permissions."
        raise CheckpointError(f"nothing can be written there ({error.strerror})", file=folder, remedy=remedy) from error


def describe(path: Path) -> Card:
    """The card alone, without reading the weights; CheckpointError where the file is not one of ours."""
    with _readable(path), safe_open(path, framework="pt") as file:
        return _card(path, (file.metadata() or {}).get("vesalius"))


def read(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], Card]:
    """The tensors and the card of `path`; CheckpointError names what is wrong with the file."""
    card = describe(path)
    with _readable(path):
        return load_file(path, device=device), card


def load_strictly(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put `tensors` into `module`; CheckpointError with a load report unless every name and shape fits."""
    own = module.state_dict()
    missing, surplus = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
        for name in sorted(own.keys() & tensors.keys())
        if own[name].shape != tensors[name].shape
    ]
    if missing or surplus or wrong:
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for names, what in ((missing, "missing"), (surplus, "not expected"), (wrong, "of another shape"))
            if names
        ]
        remedy = "It was trained with another architecture: use the settings saved beside it."
        raise CheckpointError(f"does not fit the network: {'; '.join(parts)}", file=path, remedy=remedy)
    module.load_state_dict(dict(tensors))


class _readable:
    """Turns what a broken file makes of the reader into a CheckpointError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        if not self.path.is_file():
            raise CheckpointError("no such file", file=self.path, remedy="Give a run folder or a .safetensors file.")
        with open(self.path, "rb") as file:
            head = file.read(16)
        if head[8:9] != b"{" and (
            head[:1] == b"\x80" or head[:4] == b"PK\x03\x04"
        ):  # a header's length may begin so too
            remedy = "A pickle can run any code, so it is never loaded here: give a .safetensors file."
            raise CheckpointError("is a pickle (PyTorch .pt or .pth), not a checkpoint", file=self.path, remedy=remedy)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, SafetensorError | OSError | ValueError):
            remedy = (
                "It is damaged or of another kind: give one that vesalius wrote, such as the run's stage0.safetensors."
            )
            raise CheckpointError(
                f"is not a readable safetensors file ({error})", file=self.path, remedy=remedy
            ) from error


def _card(path: Path, text: str | None) -> Card:
    if text is None:
        remedy = "Only files that vesalius wrote explain themselves."
        raise CheckpointError("holds weights but no vesalius card", file=path, remedy=remedy)
    values = json.loads(text)
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        remedy = f"This version reads format {FORMAT}; install the version that wrote it."
        raise CheckpointError(f"has format {found}", file=path, remedy=remedy)
    try:
        return from_dict(Card, values)
    except SettingError as error:
        raise CheckpointError(
            f"has a card that does not parse ({error})", file=path, remedy="Write it again."
        ) from error
