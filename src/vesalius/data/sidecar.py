"""Whom a run has seen, in RUN/patients.json: keyed hashes, enough to ask whether a known patient is among them, not who
they are."""

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vesalius.data.cache import key_hash
from vesalius.data.splits import plain
from vesalius.errors import CheckpointError

FILE = "patients.json"
PARTS = ("train", "watch")


def read(folder: Path) -> dict[str, Any]:
    """What the sidecar in `folder` says; {} where there is none. CheckpointError: it is broken."""
    path = folder / FILE
    try:
        found = dict(json.loads(path.read_bytes())) if path.exists() else {}
        bytes.fromhex(found.get("key", ""))
        return found
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError("is no list of hashed patients", file=path, remedy="Restore it from a copy.") from error


def key(folder: Path) -> bytes:
    """That of the sidecar in `folder`, so that a run that goes on can add to it; a new one where there is none."""
    return bytes.fromhex(read(folder).get("key", "")) or secrets.token_bytes(32)


def hashes(key: bytes, patients: Iterable[str]) -> list[str]:
    """Of each patient, and without leading zeros, which tables drop and names of files do not."""
    return sorted({key_hash(key, spelt) for patient in patients for spelt in (patient, plain(patient))})


def united(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Both, of one key: data may have changed while the run was stopped, and whom it saw before it still has seen."""
    if not before:
        return dict(now)
    older = before.get("sources", [{"dataset": "", **before}])  # earlier versions did not say of which data set
    found: dict[str, dict[str, set[str]]] = {}
    for source in (*now["sources"], *older):
        own = found.setdefault(source["dataset"], {part: set() for part in PARTS})
        for part in PARTS:
            own[part].update(source[part])
    sources = [{"dataset": name, **{part: sorted(own[part]) for part in PARTS}} for name, own in found.items()]
    return {"key": now["key"], "sources": sources}
