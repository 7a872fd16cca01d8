"""What is written in a cache folder, so that a writer that is killed, or a disk that is full, leaves nothing torn."""

import json
import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vesalius.data.cache import Entry, folder_of
from vesalius.data.prepare import steps_to_json
from vesalius.data.steps import Step
from vesalius.errors import DataError

ASIDE = "set_aside.jsonl"
LEFT_OVER = 3600  # seconds after which a temporary file has lost its writer


def open_folder(root: Path, steps: Sequence[Step]) -> Path:
    """The folder for scans prepared by `steps`, made where needed, with the steps in words beside the arrays."""
    folder = folder_of(root, steps)
    with writing(folder):
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        for file in (folder / "tmp").iterdir():
            if file.stat().st_mtime < time.time() - LEFT_OVER:
                file.unlink(missing_ok=True)
    if not (folder / "steps.json").exists():
        write(folder / "steps.json", json.dumps(steps_to_json(steps), indent=1).encode(), folder)
    return folder


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Turns what the disk refuses into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        remedy = "Free some space, or choose another folder for the cache; what is done stays."
        raise DataError(f"cannot be written ({error.strerror or error})", file=file, remedy=remedy) from None


def write(path: Path, content: bytes, folder: Path) -> None:
    """Write `content` in `folder`/tmp, then rename it to `path`. DataError where the disk refuses; nothing is left then."""
    temporary = folder / "tmp" / f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    with writing(path):
        try:
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


class Index:
    """Appends whole lines; a torn line that a killed writer left is first ended, so that it spoils no other."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.jsonl"

    def append(self, entries: Sequence[Entry]) -> None:
        """One write for all. DataError where the disk refuses."""
        if not entries:
            return
        with writing(self.path), self.path.open("a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            torn = end > 0 and file.read(1) != b"\n"
            content = b"\n" * torn + b"".join(entry.line() for entry in entries)
            if file.write(content) != len(content):
                raise OSError("the disk is full")


def note_set_aside(folder: Path, tried: Collection[str], bad: dict[str, str]) -> None:
    """Bring set_aside.jsonl up to date: `bad` is file -> reason; of the other files `tried`, older reasons are dropped."""
    path = folder / ASIDE
    old = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    kept = {row["file"]: row["reason"] for row in old if row["file"] not in tried}
    if old or bad:
        rows = [json.dumps({"file": file, "reason": reason}) + "\n" for file, reason in {**kept, **bad}.items()]
        write(path, "".join(rows).encode(), folder)
