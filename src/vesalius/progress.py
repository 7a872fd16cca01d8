"""Words to the user while long work runs: plain lines and counters, on stderr."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

console = Console(stderr=True)


def say(text: str) -> None:
    """One plain line."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def say_notes(spec: str, dataset: Any) -> None:
    """What a data set says of its files and tables: what is absent, unknown or left out."""
    for note in getattr(dataset, "notes", ()):
        say(f"{spec}: {note}")


def shower(what: str) -> Callable[[int, int], None]:
    """A callback (done, total) that shows `what` with a time left: in place on a terminal, else now and then a line."""
    begun, last = time.monotonic(), [0.0]

    def show(done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - last[0] > (0.2 if console.is_terminal else 15):
            last[0] = now
            left = (now - begun) / done * (total - done) if done else 0.0
            text = f"{what}: {done}/{total}" + (f", {left:.0f} s left" if 0 < done < total else "")
            in_place = console.is_terminal and done < total
            console.print(text, end="    \r" if in_place else "    \n", markup=False, highlight=False, soft_wrap=True)

    return show
