"""Words of a command line become arguments; a wrong one becomes an error of one line."""

import contextlib
import functools
import io
import re
from collections.abc import Callable
from typing import Any

from vesalius.errors import SettingError
from vesalius.settings import unknown

Words = list[str]


def call(command: Callable[..., None], words: Words, name: str) -> None:
    """Read `words` as the arguments of `command`, then call it."""

    @functools.wraps(command)
    def later(*arguments: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(command, *arguments, **named)

    parse(later, words, name)()


def parse(kind: Any, words: Words, name: str, description: str | None = None) -> Any:
    """What tyro makes of `words`: a `kind`; a wrong command line becomes a one-line SettingError."""
    import tyro

    noise = io.StringIO()
    wants_help = any(word in ("-h", "--help") for word in words)
    try:
        with contextlib.nullcontext() if wants_help else contextlib.redirect_stderr(noise):
            return tyro.cli(kind, args=words, prog=f"vesalius {name}", description=description)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise SettingError(
            _one_line(noise.getvalue()), remedy=f"See: vesalius {' '.join(name.split()[:2])} --help."
        ) from None


def _one_line(box: str) -> str:
    """tyro's error, out of its frame and on one line; the frame's title only repeats it."""
    box = re.sub(r"\u256d.*", "", box)
    bare = " ".join(re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]|-{3,}", " ", box).split())
    first = re.split(r" Got errors:| For full helptext| Argument helptext", bare)[0]
    return first.removeprefix("Value error ").strip(" .")


def known(words: Words, settings: dict[str, Any]) -> None:
    """SettingError, with the near names, for the first flag that is no setting."""
    dotted = [name for name, value in settings.items() if not isinstance(value, dict)]
    dotted += [f"{name}.{key}" for name, value in settings.items() if isinstance(value, dict) for key in value]
    for word in words:
        name = word.removeprefix("--").split("=")[0].replace("-", "_")
        plain = name.removeprefix("no_").replace(".no_", ".")
        if word.startswith("--") and not {name, plain} & {*dotted, "resume", "help"}:
            raise unknown(word.split("=")[0], name, tuple(dotted))


def first_flag(words: Words) -> int:
    """Place of the first word that is a flag; their number where none is."""
    return next((place for place, word in enumerate(words) if word.startswith("-")), len(words))


def take(words: Words, flag: str) -> tuple[str | None, Words]:
    """The value after `flag`, and the words without both."""
    for place, word in enumerate(words):
        if word == flag and words[place + 1 : place + 2] in ([], ["--resume"]):
            raise SettingError(f"{flag} names no file", remedy=f"Write {flag} RUN/config.json.")
        if word == flag:
            return words[place + 1], words[:place] + words[place + 2 :]
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1], words[:place] + words[place + 1 :]
    return None, words
