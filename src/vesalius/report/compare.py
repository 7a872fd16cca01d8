"""`vesalius compare RUN_A RUN_B ...`: for every number that two runs share, is one better? With n, interval and p."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from vesalius.errors import DataError, SettingError
from vesalius.report.family import judged, pairs
from vesalius.report.leaks import MARK, marked, sentences, stamps
from vesalius.report.names import labels, located, told_apart
from vesalius.report.paired import BETTER, NOTHING, WORSE, Measured, Paired, Task, tasks
from vesalius.report.pooled import over_shots
from vesalius.report.tables import described, number
from vesalius.results import FILE, Row

Filters = dict[str, tuple[str, ...] | tuple[int, ...]]
HEAD = (
    "number", "the first is", "first", "second", "by (first − second)", "n", "p", "p, Holm",
    "p, Wilcoxon", "p, t over trainings", "d_z", "patients better", "notes",
)  # fmt: skip
MARKED = f" {MARK}"
READING = """\
Verdicts are of the first run: "better" or "worse" where the 95 % interval of the difference excludes 0 and p, corrected for \
all {count} comparisons of this page (Holm), is at most 0.05. "No difference shown" does not mean that there is none. \
n: patients that both runs have; they are resampled whole. by: mean difference as measured. Where both have several \
trainings (draws, seeds) its interval is over trainings and patients, else over patients alone. p: paired permutation of \
patients, for these trainings. t: independent two-sample t-test over trainings, as papers report it; it knows nothing of \
patients, and decides only where no scores of patients are at hand. d_z: mean over deviation of patients' differences. \
patients better: share of patients for whom the first is better, equal ones as half. Where one run was measured with several \
numbers of labelled patients, their mean is compared as well as each. \
⚠: measured although the test had been seen: not comparable."""


def compare_command(
    runs: Annotated[tuple[str, ...], arg(metavar="FOLDER_OR_JSONL...")],
    /,
    measure: tuple[str, ...] = (),
    name: tuple[str, ...] = (),
    structure: tuple[str, ...] = (),
    shots: tuple[int, ...] = (),
    against: str = "",
    out: str = "",
    resamples: int = 9999,
) -> None:
    """Is one run better than another? A table in Markdown.

    Args:
        runs: folders that hold results.jsonl, or such files; together they hold two runs or more
        measure: only these measures, such as finetune
        name: only these numbers, such as dice
        structure: only of these organs or classes
        shots: only with so many labelled patients
        against: compare every run with this one alone, which makes the correction milder
        out: file to write, NAME.md; where three runs or more share a number, NAME.png shows their ranks
        resamples: of bootstrap and permutation; of the latter at least 100 for each comparison
    """
    if resamples < 99:
        raise SettingError(f"resamples is {resamples}", remedy="Give 99 at least.")
    if out and Path(out).suffix != ".md":
        raise SettingError(f"out is {out}, which does not end in .md", remedy="Write --out NAME.md.")
    rows = open_results([Path(run) for run in runs])
    chosen: Filters = {"measure": measure, "name": name, "structure": structure, "shots": shots}
    text = compare(_filtered(rows, chosen), against=against, resamples=resamples, out=Path(out) if out else None)
    print(out or text)


def compare(rows: Iterable[Row], *, against: str = "", resamples: int = 9999, out: Path | None = None) -> str:
    """The table of all pairs of runs, or of those with `against`, as Markdown; written to `out`, with a picture of ranks.

    Artefacts of rows are whole paths. SettingError where no number is shared; DataError where `out` cannot be written.
    """
    measured = tasks(rows)
    measured |= over_shots(measured)
    wanted = pairs(measured, against)
    found = judged(measured, wanted, resamples)
    text = _page(found, len(wanted) - len(found)) + _ranks(measured, out)
    if out:
        _write(out, text.encode())
    return text


def open_results(paths: Sequence[Path]) -> list[Row]:
    """All rows of folders and files, artefacts located. Runs of one name with other numbers get their folder's name too."""
    if not paths:
        raise SettingError("no run given", remedy="Usage: vesalius compare FOLDER_OR_JSONL... [--out FILE.md].")
    files = {label: path / FILE if path.is_dir() else path for label, path in labels(paths).items()}
    return told_apart({label: located(file, label) for label, file in files.items()})


def _filtered(rows: Sequence[Row], chosen: Filters) -> list[Row]:
    """The rows with these values; SettingError, with what there is, where a value is of no row or none is left."""
    for field, wanted in chosen.items():
        there = {getattr(row, field) for row in rows} - {"", None}
        lost = [value for value in wanted if value not in there]
        if lost:
            known = ", ".join(str(value) for value in sorted(there)) or "none"
            raise SettingError(f"no row has the {field} {lost[0]}", remedy=f"There are: {known}.")
    left = [row for row in rows if all(not some or getattr(row, field) in some for field, some in chosen.items())]
    if rows and not left:
        raise SettingError("no row has all that is asked for", remedy="Leave out one of the filters.")
    return left


def _page(found: Sequence[Paired], left_out: int) -> str:
    parts = ["# Comparison of runs", READING.format(count=len(found))]
    if left_out:
        text = "one number of the whole cohort a run, and no scores of patients, say nothing of how sure they are"
        parts.append(f"Not compared: {left_out} numbers; {text}.")
    for a, b in dict.fromkeys((one.a, one.b) for one in found):
        own = [one for one in found if (one.a, one.b) == (a, b)]
        counts = [sum(one.verdict == verdict for one in own) for verdict in (BETTER, WORSE, NOTHING)]
        leaks = dict(leak for one in own for leak in one.leaks)
        parts.append(f"## {marked(a, leaks)} against {marked(b, leaks)}")
        parts += sentences(leaks)
        parts.append("{} is better in {}, worse in {}, no difference shown in {}.".format(a, *counts))
        for place in dict.fromkeys(_place(one.task) for one in own):
            lines = [_line(one) for one in own if _place(one.task) == place]
            parts += [f"On {place}:"] if place else []
            parts.append("\n".join(map(_row, [HEAD, ["---"] * len(HEAD), *lines])))
    return "\n\n".join(parts) + "\n"


def _place(task: Task) -> str:
    space = f"{task.space} space" if task.space else ""
    return ", ".join(part for part in (task.data, task.split, space) if part)


def _line(one: Paired) -> list[str]:
    by = f"{number(one.difference.value)} [{number(one.difference.low)}, {number(one.difference.high)}]"
    n = str(one.difference.n) if one.difference.n or one.p != one.t else "–"
    return [
        title(one.task), one.verdict + MARKED * bool(one.leaks), _shown(one.of_a), _shown(one.of_b), by.replace("nan", "–"), n,
        _p(one.p), _p(one.corrected), _p(one.wilcoxon), _p(one.t),
        _shown(one.d_z), "–" if one.superiority != one.superiority else f"{one.superiority:.0%}", "; ".join(one.notes),
    ]  # fmt: skip


def title(task: Task) -> str:
    """Such as `finetune: dice, heart, 3 labelled patients`."""
    few = "" if task.what.shots is None else f", {task.what.shots} labelled"
    return f"{task.what.measure}: {described(replace(task.what, shots=None))}{few}"


def _shown(x: float) -> str:
    return number(x).replace("nan", "–")


def _p(p: float) -> str:
    return "–" if p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _ranks(measured: Measured, out: Path | None) -> str:
    """Ranks of three runs and more, as sentences; with `out`, as a picture beside it."""
    from vesalius.report import critical

    panels = []
    for task, own in measured.items():
        leaks = stamps(row for rows in own.values() for row in rows)
        if found := critical.ranked(task, {marked(run, leaks): rows for run, rows in own.items()}):
            panels.append((title(task), found))
    if not panels:
        return ""
    lines = [f"- {name}: {critical.sentence(found)}." for name, found in panels]
    text = "\n".join(["", "## All runs together", "", *lines, ""])
    if out is None:
        return text
    _write(out.with_suffix(".png"), critical.picture(panels))
    more = f" The first {critical.MOST} of {len(panels)} numbers." if len(panels) > critical.MOST else ""
    return f"{text}\n![Mean ranks; runs under one bar are not told apart.{more}]({out.with_suffix('.png').name})\n"


def _write(out: Path, content: bytes) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    except OSError as error:
        remedy = "Check the path and the space left."
        raise DataError(f"cannot be written ({error.strerror or error})", file=out, remedy=remedy) from error
