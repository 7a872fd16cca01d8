"""How a run ends before its end: a signal comes, the step in hand is finished and saved, the process exits."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Stopped(Exception):
    """SIGTERM or Ctrl-C arrived and the run was saved; `exit_code` is what the process should exit with."""

    def __init__(self, exit_code: int, folder: Path) -> None:
        super().__init__(f"stopped and saved; to go on: vesalius pretrain --config {folder / 'config.json'} --resume")
        self.exit_code = exit_code


class Listener:
    """Notes SIGTERM and Ctrl-C; `signal` is 0 until one came."""

    def __init__(self) -> None:
        self.signal = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, both signals are noted and change nothing else."""
        try:
            before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: the caller handles signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
