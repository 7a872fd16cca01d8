"""What a run says of itself: metrics.jsonl always, a progress line, alarms, and TensorBoard where asked for."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vesalius.checkpoint import append_line, write_bytes
from vesalius.errors import SettingError
from vesalius.progress import console, say

SHARE = "_share"  # of the time, at the end of a name


class Logbook:
    """Writes metrics.jsonl and shows the progress of a run. Only rank 0 has one that speaks."""

    def __init__(self, folder: Path, total_steps: int, start_step: int, tensorboard: bool, quiet: bool) -> None:
        self.quiet, self.total = quiet, total_steps
        self.alarmed: set[str] = set()
        self.spoke = 0.0
        if quiet:
            return
        self.path = folder / "metrics.jsonl"
        forget_after(self.path, start_step)
        self.writer = _tensorboard(folder) if tensorboard else None
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"))
        self.bar = Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True), console=console, transient=True)
        self.task = self.bar.add_task("", total=total_steps, completed=start_step)
        if console.is_terminal:
            self.bar.start()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line; the numbers also go to TensorBoard."""
        if self.quiet:
            return
        append_line(self.path, json.dumps({name: _finite(value) for name, value in row.items()}))
        if self.writer is not None:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "total_step":
                    self.writer.add_scalar(name, value, row["total_step"])

    def show(self, done: int, row: Mapping[str, Any]) -> None:
        """Move the bar; without a terminal, one line about every half minute."""
        if self.quiet:
            return
        text = f"stage {row['stage']}  loss {row['loss']:.4f}  {row['images_per_s']:.0f} images/s"
        shares = {name: value for name, value in row.items() if name.endswith(SHARE)}
        text += "".join(f"  {name.removesuffix(SHARE)} {value:.0%} of the time" for name, value in shares.items())
        self.bar.update(self.task, completed=done, description=text)
        now = time.monotonic()
        if not console.is_terminal and now - self.spoke > 30:
            self.spoke = now
            left = self.bar.tasks[0].time_remaining
            say(f"step {done}/{self.total}  {text}" + (f"  {left / 60:.1f} min left" if left else ""))

    def alarm(self, stage: int, alarms: list[str]) -> None:
        """Say each alarm once a stage."""
        for text in alarms:
            kind = f"{stage}{text.split(':')[0]}"
            if not self.quiet and kind not in self.alarmed:
                self.alarmed.add(kind)
                say(f"ALARM {text}")
                self.write_alarm(stage, text)

    def write_alarm(self, stage: int, text: str) -> None:
        """Keep an alarm in metrics.jsonl too."""
        append_line(self.path, json.dumps({"stage": stage, "alarm": text}))

    def close(self) -> None:
        """Stop the bar and flush."""
        if not self.quiet:
            self.bar.stop()
            if self.writer is not None:
                self.writer.close()


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run will do again, and a last line torn by a crash."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("total_step", 0) <= step:
            kept.append(line)
    write_bytes(path, "".join(line + "\n" for line in kept).encode())


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Clock:
    """Time since the last line of the log, and how much of it was spent waiting for data, or beside the training."""

    def __init__(self) -> None:
        self.begun = self.saved = time.monotonic()
        self.waited, self.images = 0.0, 0
        self.beside: dict[str, float] = {}  # seconds of what runs beside the training, by its name

    def read(self) -> dict[str, float]:
        """Since the last call: images/s and the share of time that steps waited for data, both of the training's own time;
        then the share of all time that went to what runs beside it."""
        spent = time.monotonic() - self.begun
        own = max(spent - sum(self.beside.values()), 1e-9)
        numbers = {"images_per_s": round(self.images / own, 2), "data_wait": round(self.waited / own, 4)}
        numbers |= {f"{name}{SHARE}": round(seconds / spent, 4) for name, seconds in self.beside.items()}
        self.begun, self.waited, self.images = time.monotonic(), 0.0, 0
        self.beside = dict.fromkeys(self.beside, 0.0)
        return numbers

    def since_save(self) -> float:
        """Seconds."""
        return time.monotonic() - self.saved


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        remedy = 'Install it: pip install "vesalius[tensorboard]".'
        raise SettingError("setting tensorboard is on, but TensorBoard is not installed", remedy=remedy) from error
    return SummaryWriter(str(folder / "tensorboard"))
