"""Means over structures, and over numbers of labelled patients: the same rows under another task, so that they can be
compared like any other number. A mean is only taken over the same parts: what one run lacks is taken from none or all.

Of numbers of patients, a patient counts where all parts are there in that training (an undefined distance leaves the patient
out); of numbers of the whole cohort, a class counts where all trainings learned it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from vesalius.report.measures import PROTOCOLS
from vesalius.report.paired import Measured, Repetition, Task, repetition
from vesalius.results import Row

Key = Callable[[Row], Hashable]


def over_structures(measured: Measured) -> Measured:
    """Of tasks of transfer that differ in nothing but the structure: the mean over them, a task a number of shots."""
    groups: dict[Task, list[tuple[Task, str, list[Row]]]] = defaultdict(list)
    for task, runs in measured.items():
        if task.what.measure in PROTOCOLS and task.what.structure:
            alike = replace(task, what=replace(task.what, structure="", shots=None))
            groups[alike] += [(task, run, rows) for run, rows in runs.items()]
    found: dict[Task, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for alike, some in groups.items():
        everything = [row for _, _, rows in some for row in rows]
        rows = _whole(
            everything, lambda row: (row.run, repetition(row), row.shots, row.patient), lambda row: row.structure
        )
        kinds = {row.structure for row in rows}
        if len(kinds) < 2:
            continue
        name = f"mean of {len(kinds)} {'classes' if alike.statistic else 'structures'}"
        for row in rows:
            found[replace(alike, what=replace(alike.what, structure=name, shots=row.shots))][row.run].append(row)
    return {task: dict(runs) for task, runs in found.items()}


def over_shots(measured: Measured) -> Measured:
    """Of tasks of transfer that differ in nothing but the number of labelled patients: the mean over the numbers that all
    runs have. Trainings are those that all numbers have; a number with one training, where others have several, is left out.
    """
    groups: dict[Task, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for task, runs in measured.items():
        if task.what.measure in PROTOCOLS and task.what.shots is not None and not task.what.condition:
            for run, rows in runs.items():
                groups[replace(task, what=replace(task.what, shots=None))][run] += rows
    found: Measured = {}
    for task, runs in groups.items():
        own = {run: _trainings(rows) for run, rows in runs.items()}
        own = {run: counts for run, counts in own.items() if len(counts) > 1}
        counts = sorted(set.intersection(*(set(one) for one in own.values()))) if own else []
        if len(counts) < 2:
            continue
        common = {run: set.intersection(*(one[n] for n in counts)) for run, one in own.items()}
        rows = [
            row for run in own for row in runs[run] if row.shots in counts and repetition(row) in common[run]
        ]  # fmt: skip
        rows = _whole(
            rows,
            lambda row: (row.run, repetition(row), row.patient),
            lambda row: (row.structure, row.shots, None if row.patient else row.fold),
        )
        words = f"mean over {', '.join(map(str, counts))} labelled"
        pooled = replace(task, what=replace(task.what, condition=words))
        for row in rows:
            found.setdefault(pooled, {}).setdefault(row.run, []).append(row)
    return found


def _trainings(rows: Iterable[Row]) -> dict[int, set[Repetition]]:
    """Labelled patients -> the trainings with so many."""
    found: dict[int, set[Repetition]] = defaultdict(set)
    for row in rows:
        if row.shots is not None:
            found[row.shots].add(repetition(row))
    several = max((len(some) for some in found.values()), default=0) > 1
    return {n: some for n, some in found.items() if len(some) > several}


def _whole(rows: list[Row], cell: Key, part: Key) -> list[Row]:
    """The rows whose cell (one run, training and patient) has all parts; see above. In an order that depends on parts alone."""
    parts: dict[Hashable, set[Hashable]] = defaultdict(set)
    of_patient: dict[str, set[Hashable]] = defaultdict(set)
    for row in rows:
        parts[cell(row)].add(part(row))
        of_patient[row.patient].add(part(row))
    cohort = [parts[key] for key in {cell(row): None for row in rows if not row.patient}]
    shared = set.intersection(*cohort) if cohort else set()
    kept = [
        row for row in rows
        if (parts[cell(row)] == of_patient[row.patient] if row.patient else part(row) in shared)
    ]  # fmt: skip
    return sorted(kept, key=lambda row: (row.structure, row.shots or 0, row.fold or 0))
