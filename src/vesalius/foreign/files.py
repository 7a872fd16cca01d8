"""A file of weights -> its tensors by dotted path. No code that a file may hold is ever run."""

import re
import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from vesalius.errors import CheckpointError


def read(file: Path) -> dict[str, Tensor]:
    """Every tensor of a file by its dotted path, on the CPU. CheckpointError: a file that cannot be read safely.

    What it is, is told by its content: safetensors, or else PyTorch's format, loaded with weights_only alone.
    """
    if not file.is_file():
        raise CheckpointError("no such file", file=file, remedy="Give a .safetensors, .pth, .pt, .bin or .tar file.")
    if file.stat().st_size == 0:
        raise CheckpointError("is empty", file=file, remedy="Fetch it again.")
    try:
        with file.open("rb") as opened:
            safe = opened.read(9)[8:] == b"{"
        content = _safetensors(file) if safe else _pickle(file)
    except CheckpointError:
        raise
    except Exception as error:  # on broken bytes, the unpickler raises nearly every type there is
        raise _unreadable(file, error) from error
    return flatten(content, file)


def flatten(content: Any, file: Path) -> dict[str, Tensor]:
    """The tensors of nested dictionaries and lists by dotted path; a dictionary under two names counts once."""
    found: dict[str, Tensor] = {}
    met: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", content)])
    while waiting:
        path, value = waiting.popleft()
        if isinstance(value, Tensor):
            if path in found:
                raise CheckpointError(f"holds two tensors called {path}", file=file, remedy="Rename one of them.")
            found[path] = value.detach()
        elif isinstance(value, Mapping | list | tuple) and id(value) not in met:
            met.add(id(value))
            items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting.extend((f"{path}.{key}" if path else str(key), item) for key, item in items)
    return found


def _safetensors(file: Path) -> Any:
    with safe_open(file, framework="pt") as opened:
        if "vesalius" in (opened.metadata() or {}):
            remedy = "Use it as it is: wherever a RUN is asked for, it can be given."
            raise CheckpointError("is a file of vesalius already", file=file, remedy=remedy)
    return load_file(file)


def _pickle(file: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how the file was made; it loads safely or not at all
        return torch.load(file, map_location="cpu", weights_only=True)


def _unreadable(file: Path, error: Exception) -> CheckpointError:
    refused = re.search(r"GLOBAL (\S+)|(TorchScript|legacy \.tar)", str(error))
    if refused:
        reason = f"holds more than weights, and loading it could run code ({refused[1] or refused[2]})"
        remedy = "Nothing of it was run. Ask its author for the weights alone: torch.save(model.state_dict(), FILE)."
    else:
        reason = f"is not a readable file of weights ({type(error).__name__})"
        remedy = "It is damaged, cut short or of another kind: fetch it again."
    return CheckpointError(reason, file=file, remedy=remedy)
