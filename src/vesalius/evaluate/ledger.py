"""What the rows of a folder were measured with, so that a call that goes on mixes no settings: OUT/evaluate.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vesalius import checkpoint
from vesalius.errors import DataError, SettingError

FILE = "evaluate.json"


def enter(out: Path, measure: str, run: str, about: Mapping[str, Any], begun: bool) -> None:
    """Write down what `run` is measured with. begun: OUT has rows of it already.

    SettingError where those were measured with something else. What earlier versions did not write down is believed.
    """
    path, key = out / FILE, f"{measure}: {run}"
    known = _read(path)
    now = json.loads(json.dumps(about))
    before = {**now, **known.get(key, {})} if begun else now
    if before != now:
        other = next(name for name in {**before, **now} if before.get(name) != now.get(name))
        reason = (
            f"holds rows of {run}, {measure}, with another {other}: {_words(before, other)}, not {_words(now, other)}"
        )
        raise SettingError(reason, file=out, remedy="Give another --out.")
    if known.get(key) != now:
        checkpoint.write_bytes(path, (json.dumps({**known, key: now}, indent=2) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return dict(found)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot be read ({error})", file=path, remedy="Delete it, or give another --out.") from error


def _words(settings: Mapping[str, Any], name: str) -> str:
    return json.dumps(settings.get(name))
