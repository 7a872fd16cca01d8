"""What a pretraining run says of itself, for the record: hours, the numbers at the end of each stage, and its curve.

All of it comes from the run's metrics.jsonl and config.json; nothing of it names a file or a patient.
"""

import csv
import io
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vesalius.results import Row

LINES = 40  # of a curve, for each stage
LAST = 5  # log lines whose mean stands for the end of a stage: one batch is noisy
NUMBERS = (
    "loss",
    "accuracy",
    "spread",
    "effective_rank",
    "alike",
    "pruned",
    "pruned_same_part",
    "restoration",
    "comparison",
    "explained",
)
# As rows; the rest is in the curves.
KEPT = ("loss", "watch_loss", "spread", "pruned", "pruned_same_part", "restoration", "comparison", "explained")
COLUMNS = ("run", "stage", "step", "total_step", *NUMBERS, "watch_loss", "images_per_s")

Line = dict[str, Any]


def lines(folder: Path) -> list[Line]:
    """The steps of a run that were logged, alarms left out; the loss on held-out patients joins the step it follows."""
    found: dict[int, Line] = {}
    for text in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if "total_step" in line:
            found.setdefault(line["total_step"], {}).update(line)
    return [found[step] for step in sorted(found)]


def hours(folder: Path) -> float:
    """Hours of steps: images a second as they were logged, times the images between two lines; saving is not counted."""
    batch = json.loads((folder / "config.json").read_text(encoding="utf-8"))["batch"]
    seconds, before = 0.0, 0
    for line in lines(folder):
        if "images_per_s" in line:
            seconds += (line["total_step"] - before) * batch / line["images_per_s"]
            before = line["total_step"]
    return seconds / 3600


def rows(folder: Path, run: str, data: str) -> list[Row]:
    """Hours, and of each stage the mean of its last LAST lines: loss, held-out loss, spread, what was pruned."""
    seed = json.loads((folder / "config.json").read_text(encoding="utf-8"))["seed"]
    about = {"measure": "pretraining", "run": run, "data": data, "seed": seed}
    found = [Row(name="hours", value=round(hours(folder), 2), unit="h", **about)]
    logged = lines(folder)
    for stage in sorted({line["stage"] for line in logged}):
        own = [line for line in logged if line["stage"] == stage]
        for name in KEPT:
            values = [line[name] for line in own if line.get(name) is not None][-LAST:]
            if values:
                found.append(Row(name=f"{name}, stage {stage}", value=round(sum(values) / len(values), 4), **about))
    return found


def curve(folders: Mapping[str, Path]) -> str:
    """Name of a run -> its folder, as one CSV with about LINES lines a stage."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for run, folder in folders.items():
        for line in _thinned([line for line in lines(folder) if "loss" in line]):
            writer.writerow({"run": run, **line})
    return text.getvalue()


def joined(before: str, now: str) -> str:
    """Two such CSV as one: of a run that is in both, `now`'s lines."""
    head, *lines = now.splitlines(keepends=True)
    runs = {line.split(",")[0] for line in lines}
    kept = [line for line in before.splitlines(keepends=True)[1:] if line.split(",")[0] not in runs]
    return "".join([head, *kept, *lines])


def _thinned(logged: Sequence[Line]) -> Iterator[Line]:
    for stage in sorted({line["stage"] for line in logged}):
        own = [line for line in logged if line["stage"] == stage]
        every = -(-len(own) // LINES)
        yield from (line for i, line in enumerate(own) if i % every == 0 or line is own[-1])


def hardware() -> str:
    """This machine in words: processor, cores, what PyTorch makes of it."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in about if line.startswith("model name")), name)
    except OSError:  # not Linux: the short name must do
        pass
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    level = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {os.cpu_count()} cores, {level}{gpu}; PyTorch {torch.__version__.split('+')[0]}"
