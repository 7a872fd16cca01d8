"""The chapter of transfer: what encoders are worth with labels. Curves, tables, verdicts, worst cases."""

from collections.abc import Mapping, Sequence

from vesalius.errors import SettingError
from vesalius.report import cases, leaks, page
from vesalius.report.bands import NAMES, bands, measured_in
from vesalius.report.efficiency import Panel, few_first, labelled, panels
from vesalius.report.family import judged, pairs, sentence
from vesalius.report.folders import Study
from vesalius.report.paired import Measured, Paired, repetition, tasks
from vesalius.report.plots import Look
from vesalius.report.pooled import over_shots, over_structures
from vesalius.report.tables import Cell, Line
from vesalius.report.trainable import trainable
from vesalius.results import Row

TITLES = {
    "fewshot": "Few labels, all weights fine-tuned",
    "finetune": "All weights fine-tuned",
    "scratch": "From scratch, all weights trained",
    "linear": "Linear probe of the frozen encoder",
    "nonlinear": "Non-linear probe of the frozen encoder",
}
ORDER = (
    "dice",
    "auc",
    "iou",
    "surface_dice",
    "hd95",
    "ap",
)  # the first that there is stands open, the others are folded
OPEN = 3  # structures whose curves stand open beside the mean
CASES = 3  # patients shown, of each of the fewest and the most labelled patients
RESAMPLES, OF_COHORTS = (
    9999,
    999,
)  # of AUC and AP fewer: each resample looks at all images anew, and a page is to be quick
Styles = Mapping[str, Look]
Stamps = Mapping[str, str]


def chapter(studies: Sequence[Study], styles: Styles) -> str:
    """All protocols on all data sets; empty where there is none."""
    parts = [part for study in studies for part in _protocols(study, styles)]
    text = (
        "Encoders are given labels, and measured on patients that no training saw. Numbers are means over patients and over "
        "repeated trainings (draws of labelled patients, seeds). Intervals are 95 % bootstrap intervals, over trainings and "
        "patients where there are several trainings, else over patients; for AUC and average precision patients are drawn "
        "whole. Bold: better than the next best, the interval of the paired difference, over the "
        "trainings and patients that both have, excluding 0."
    )
    return page.section("transfer", "Transfer: what it is worth with labels", page.words(text), *parts) if parts else ""


def _protocols(study: Study, styles: Styles) -> list[str]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in study.rows:
        groups.setdefault((row.measure, row.split), []).append(row)
    found = []
    for (measure, split), rows in groups.items():
        where = study.data + f", {split} split" * bool(split)
        found.append("\n".join([page.heading(f"{TITLES[measure]}: {where}"), *_protocol(rows, styles)]))
    return [*_all_protocols(study, styles), *found]


def _all_protocols(study: Study, styles: Styles) -> list[str]:
    """Dice against the weights that learned, where several protocols were measured on one split."""
    found = []
    for split in dict.fromkeys(row.split for row in study.rows):
        own = tasks(row for row in study.rows if row.split == split and row.name == "dice")
        if picture := trainable(panels(over_structures(own) or own, RESAMPLES), styles):
            title = page.heading(f"Weights that learned: {study.data}" + f", {split} split" * bool(split))
            found.append("\n".join([title, page.pictures([picture])]))
    return found


def _protocol(rows: Sequence[Row], styles: Styles) -> list[str]:
    seen = leaks.stamps(rows)
    groups: dict[tuple[str, str], Measured] = {}
    for task, runs in tasks(rows).items():
        groups.setdefault((task.what.name, task.space), {})[task] = runs
    parts = [page.warning(line) for line in leaks.sentences(seen)]
    for i, key in enumerate(sorted(groups, key=_main_first)):
        title = f"{NAMES.get(key[0], key[0])}" + (f", {key[1]} space" if key[1] else "")
        body = _number(groups[key], styles, seen, main=i == 0)
        parts.append(page.folded(title, *body) if i else "\n".join([page.heading(title, 4), *body]))
    return [*parts, _worst(rows, seen)]


def _main_first(key: tuple[str, str]) -> tuple[int, str, str]:
    return (ORDER.index(key[0]) if key[0] in ORDER else len(ORDER), *key)


def _number(measured: Measured, styles: Styles, seen: Stamps, *, main: bool) -> list[str]:
    """One number: curves, tables; of the main one, verdicts."""
    resamples = OF_COHORTS if any(task.statistic for task in measured) else RESAMPLES
    means = over_structures(measured)
    single = panels(measured, resamples)
    whole = panels(means, resamples) if means else single[:1] if len(single) == 1 else []
    rest = [panel for panel in single if panel not in whole]
    curves = [bands(panel, _called(panel), styles) for panel in (*whole, *rest)]
    drawn = [picture for picture in curves if picture is not None]
    some = drawn if len(rest) <= OPEN else drawn[: len(whole)]
    return [
        page.pictures(some),
        page.folded("Curves of each structure", page.pictures(drawn[len(some) :])),
        *(_table(panel, seen) for panel in whole),
        page.words(_of_how_many(whole or rest), soft=True),
        _verdicts(means or measured, resamples) if main and whole else "",
        page.folded("Each structure", _each(rest, seen)),
    ]


def _called(panel: Panel) -> str:
    return panel.task.what.structure or "all"


def _table(panel: Panel, seen: Stamps) -> str:
    columns = {labelled(shots): panel.column(shots) for shots in panel.shots}
    return _lines(f"{measured_in(panel)}, {_called(panel)}", panel.runs, columns, seen)


def _each(some: Sequence[Panel], seen: Stamps) -> str:
    """A table a structure; one for all of them where there is one number of labelled patients."""
    if not some or any(panel.shots != some[0].shots for panel in some) or len(some[0].shots) > 1:
        return "\n".join(_table(panel, seen) for panel in some)
    (shots,) = some[0].shots
    runs = tuple(dict.fromkeys(run for panel in some for run in panel.runs))
    columns = {_called(panel): panel.column(shots) for panel in some}
    return _lines(f"{measured_in(some[0])}, {labelled(shots)}", runs, columns, seen)


def _lines(title: str, runs: Sequence[str], columns: Mapping[str, Mapping[str, Cell]], seen: Stamps) -> str:
    empty = Cell(None)
    lines = [Line(leaks.marked(run, seen), tuple(own.get(run, empty) for own in columns.values())) for run in runs]
    return page.lines([title, *columns], lines, title)


def _of_how_many(some: Sequence[Panel]) -> str:
    """What n counts, and how many trainings there are."""
    counts = sorted(
        {len({repetition(r) for r in rows}) for panel in some for own in panel.at.values() for rows in own.values()}
    )
    shown = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"n: patients. Trainings of each number: {shown}." if counts else ""


def _verdicts(measured: Measured, resamples: int) -> str:
    """Each pair of runs: over all numbers of labelled patients together, and with each of them (of AUC and AP, together)."""
    pooled = over_shots(measured)
    everything = pooled if pooled and any(task.statistic for task in pooled) else measured | pooled
    try:
        wanted = pairs(everything)
    except SettingError:  # one run, or none that share a number: nothing to say
        return ""
    found = judged(everything, wanted, resamples)
    groups: dict[str, list[Paired]] = {}
    for one in found:
        groups.setdefault(one.task.what.condition or labelled(one.task.what.shots), []).append(one)
    first, *rest = sorted(groups, key=lambda title: not groups[title][0].task.what.condition)
    text = (
        f"Paired over patients, as vesalius compare does. A run is better where the 95 % interval of the difference excludes "
        f"0 and p, corrected for these {len(found)} comparisons (Holm), is at most 0.05. "
        '"No difference shown" does not mean that there is none.'
    )
    return "\n".join(
        [
            page.heading(f"Run against run, {first}", 4),
            page.bullets(map(sentence, groups[first])),
            page.words(text, soft=True),
            page.folded(
                "With each number of labelled patients",
                *(page.heading(title, 4) + page.bullets(map(sentence, groups[title])) for title in rest),
            ),
        ]
    )


def _worst(rows: Sequence[Row], seen: Stamps) -> str:
    """Cases with the fewest and with the most labelled patients."""
    found = cases.worst(rows, CASES)
    if not found:
        return ""
    counts = sorted(found, key=few_first)
    chosen = dict.fromkeys((counts[0], counts[-1]))
    colours = cases.structures(case for shots in chosen for case in found[shots])
    shown = [
        page.heading(f"{labelled(shots)}, patient {i} from the worst", 4)
        + page.plates(cases.plates(case, colours, seen))
        for shots in chosen
        for i, case in enumerate(found[shots], 1)
    ]
    return "\n".join([page.heading("Worst cases"), page.words(cases.LEGEND, soft=True), page.colours(colours), *shown])
