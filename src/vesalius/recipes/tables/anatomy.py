"""From the rows of `vesalius anatomy` to Markdown: numbers with intervals, claims with verdicts, run against run.

The same functions make the page of `vesalius report`, so docs/results.md and page cannot say different things.
"""

from collections.abc import Mapping, Sequence

from vesalius.report import tables
from vesalius.report.claims import duels, findings
from vesalius.report.folders import Study
from vesalius.report.measures import HEADLINE
from vesalius.report.tables import Quantity, Scores
from vesalius.results import Row

# Beside the headline, which is of moved images: how much of it is there upright, with more neighbours, with more shots.
MORE = (
    Quantity("locality", "knn_accuracy", "upright"),
    Quantity("locality", "knn_accuracy_1", "all"),
    Quantity("locality", "knn_accuracy_5", "all"),
    Quantity("locality", "knn_accuracy_20", "all"),
    Quantity("locality", "margin", "all"),
    Quantity("locality", "silhouette", "all"),
    Quantity("compositionality", "cosine", structure="4 parts"),
    Quantity("compositionality", "cosine_shuffled", structure="4 parts"),
    Quantity("compositionality", "gain", structure="4 parts"),
    Quantity("correspondence", "within_5", "shift"),
    Quantity("correspondence", "within_5", "rotation"),
    Quantity("correspondence", "within_5", "zoom"),
    Quantity("correspondence", "same_structure_all", "upright"),
    Quantity("correspondence", "same_structure_all", "all"),
    Quantity("landmarks", "within_5", "upright", shots=1),
    Quantity("landmarks", "within_5", "upright", shots=5),
    Quantity("landmarks", "within_5", "all", shots=5),
    Quantity("landmarks", "error", "all", shots=1),
    Quantity("registration", "tre", "upright"),
    Quantity("registration", "dice", "upright"),
    Quantity("registration", "dice", "all"),
)

# Of volumes, where nothing of HEADLINE was measured: upright, since a patient's voxels are shown once.
OF_VOLUMES = {
    Quantity("organs", "knn_accuracy", "upright"): "organs: k-NN accuracy of voxels",
    Quantity("landmarks", "within_5", "upright", shots=1): "landmarks: found within 5 %, 1 volume annotated",
    Quantity("landmarks", "within_5", "upright", shots=5): "the same, 5 volumes annotated",
    Quantity("landmarks", "error_mm", "upright", shots=1): "landmarks: error in mm, 1 volume annotated",
    Quantity("landmarks", "error_mm", "upright", shots=5): "the same, 5 volumes annotated",
    **{
        Quantity("levels", "knn_accuracy", "upright", structure=f"level {i}"): f"organs by level {i} alone"
        for i in range(6)
    },
    **{
        Quantity(
            "levels", "within_5", "upright", structure=f"level {i}", shots=1
        ): f"landmarks by level {i} alone, 1 volume"
        for i in range(6)
    },
}


def of_anatomy(rows: Sequence[Row]) -> bool:
    """Whether these are rows of `vesalius anatomy`: they say how images were shown."""
    return any(row.condition for row in rows)


def markdown(rows: Sequence[Row]) -> str:
    """The headline and the claims; more numbers, and run against run, where a reader unfolds them."""
    scores = Scores(rows)
    study = Study(rows[0].data, tuple(rows), scores)
    about = (
        f"{len(scores.patients())} patients, {rows[0].data}. Bold: better than the next best, the paired 95 % interval "
    )
    headline = dict(HEADLINE)
    numbers = _numbers(scores, headline)
    if not numbers:
        headline, numbers = OF_VOLUMES, _numbers(scores, OF_VOLUMES)
    more = dict.fromkeys((one for one in MORE if one not in headline), "")
    parts = [
        f"{about}excluding 0.", numbers, _claims(study),
        _folded("More numbers", _numbers(scores, more)), _folded("Run against run", _duels(study, headline)),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>" if text else ""


def _numbers(scores: Scores, titles: Mapping[Quantity, str]) -> str:
    """Empty where none of `titles` was measured."""
    lines = [f"| | {' | '.join(scores.runs)} |", "|---" * (len(scores.runs) + 1) + "|"]
    for what, title in titles.items():
        (line,) = tables.values(scores, [what])
        if any(cell.found is not None for cell in line.cells):
            cells = (f"**{cell}**" if cell.best else str(cell) for cell in line.cells)
            lines.append(f"| {title or f'{what.measure}: {line.label}'} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _claims(study: Study) -> str:
    """Empty where a control was not measured: a claim cannot be held against what is not there."""
    lines = ["| claim of the paper | run | verdict | n |", "|---|---|---|---|"]
    for found in findings(study):
        if found.value is not None and all(one.found is not None for one in found.evidence):
            fails = f" (fails against {', '.join(found.fails)})" if found.fails else ""
            lines.append(f"| {found.claim.title} | {found.run} | {found.verdict}{fails} | {found.n} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _duels(study: Study, titles: Mapping[Quantity, str]) -> str:
    """Empty where there is one run beside the controls."""
    lines = ["| first against second | number | the first is | by | n |", "|---|---|---|---|---|"]
    for one in duels(study, list(titles)):
        amount = tables.Cell(one.found)
        n = one.found.n if one.found else 0
        lines.append(f"| {one.first} against {one.second} | {titles[one.what]} | {one.verdict} | {amount} | {n} |")
    return "\n".join(lines) if len(lines) > 2 else ""
