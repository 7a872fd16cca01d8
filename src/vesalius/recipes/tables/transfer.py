"""What encoders are worth with labels, as tables: rows of `vesalius evaluate`, in docs/results.md."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vesalius.report.efficiency import Panel, labelled, panels
from vesalius.report.family import judged, pairs, sentence
from vesalius.report.measures import PROTOCOLS
from vesalius.report.paired import Measured, tasks
from vesalius.report.pooled import over_shots, over_structures
from vesalius.results import Row

TITLES = {"dice": "Dice", "auc": "AUC"}
RESAMPLES = {"dice": 1999, "auc": 499}  # each resample of an AUC weighs all images anew
Groups = dict[tuple[str, str, str], list[Row]]


def of_transfer(rows: Sequence[Row]) -> bool:
    """Whether these are rows of `vesalius evaluate`."""
    return all(row.measure in PROTOCOLS for row in rows) and bool(rows)


def markdown(rows: Sequence[Row], folder: Path) -> str:
    """A table of runs by number of labelled patients for each data set, protocol and number; the verdicts below, folded.

    folder: where the artefacts that rows name lie.
    """
    groups: Groups = {}
    for row in rows:
        if row.name in TITLES:
            full = replace(row, artefact=str(folder / row.artefact) if row.artefact else "")
            groups.setdefault((row.data, row.measure, row.name), []).append(full)
    return "\n\n".join(_group(*key, some) for key, some in groups.items())


def _group(data: str, measure: str, name: str, rows: Sequence[Row]) -> str:
    own = tasks(rows)
    means = over_structures(own) or own
    parts = sorted({row.structure for row in rows})
    about = f"{data}, {measure}: {TITLES[name]}, {parts[0] if len(parts) == 1 else f'mean of {len(parts)}'}"
    n = RESAMPLES[name]
    text = [_table(panel, about) for panel in panels(means, n)]
    text += [line for panel in panels(means, n) for line in (_trainable(panel), _patients(panel))]
    if means is not own:
        text.append(_folded("Structure by structure", [_table(panel, _called(panel)) for panel in panels(own, n)]))
    text.append(_folded("Run against run", [_verdicts(means, n)]))
    return "\n\n".join(part for part in text if part)


def _called(panel: Panel) -> str:
    return panel.task.what.structure or "all"


def _table(panel: Panel, title: str) -> str:
    heads = [labelled(shots) for shots in panel.shots]
    lines = [f"| {title} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    columns = [panel.column(shots) for shots in panel.shots]
    for run in panel.runs:
        cells = (f"**{own[run]}**" if own[run].best else str(own[run]) for own in columns)
        lines.append(f"| {run} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _trainable(panel: Panel) -> str:
    """How many weights learned from labels, where rows say it; runs of as many together."""
    found: dict[int, list[str]] = {}
    for run in panel.runs:
        if number := panel.trainable(run, panel.shots[-1]):
            found.setdefault(number, []).append(run)
    return f"Trainable weights: {_each(found)}" if found else ""


def _patients(panel: Panel) -> str:
    """How many were tested, where runs differ in that: the table's means are then of different patients."""
    found: dict[int, list[str]] = {}
    for run in panel.runs:
        patients = {row.patient for own in panel.at.values() for row in own.get(run, ())}
        found.setdefault(len(patients), []).append(run)
    return f"Patients: {_each(found)}" if len(found) > 1 else ""


def _each(found: Mapping[int, Sequence[str]]) -> str:
    return "; ".join(f"{n:,} ({', '.join(runs)})" for n, runs in found.items())


def _verdicts(means: Measured, resamples: int) -> str:
    """Each pair of runs over all numbers of labelled patients together; with a number, where more runs have that one."""
    pooled = over_shots(means)
    several = {run for runs in pooled.values() for run in runs}
    wider = {task: runs for task, runs in means.items() if not several.issuperset(runs)}
    lines = []
    for one in judged(pooled | wider, pairs(pooled | wider), resamples):
        numbers = one.task.what.condition or labelled(one.task.what.shots)
        lines.append(f"- {numbers}: {sentence(one)}" if pooled else f"- {sentence(one)}")
    return "\n".join(lines)


def _folded(title: str, parts: Sequence[str]) -> str:
    text = "\n\n".join(part for part in parts if part)
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>" if text else ""
