"""Critical-difference pictures (Demsar 2006, figure 1): mean ranks on a line, bars over runs that are not told apart.

A panel is a task, its blocks are the patients that all runs share: they are independent, as tasks of one cohort are not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vesalius.report.paired import Task, aligned
from vesalius.report.plots import COLOURS, blank, png
from vesalius.results import Row
from vesalius.statistics.ranks import Ranks, ranks

MOST = 12  # panels of one picture


def ranked(task: Task, runs: Mapping[str, list[Row]]) -> Ranks | None:
    """Ranks of all runs that have scores of patients; None below three runs or two common patients."""
    own = {run: rows for run, rows in runs.items() if any(row.patient for row in rows)}
    if len(own) < 3:
        return None
    tables, _ = aligned(list(own.values()))
    scores = np.stack([table.mean(0) for table in tables], axis=1)
    return ranks(tuple(own), scores, lower_is_better=task.lower_is_better) if len(scores) > 1 else None


def sentence(found: Ranks) -> str:
    """Such as `mean ranks over 60 patients: adam 1.20, moco 1.90, random 2.90; nearer than 0.43 is not told apart`."""
    order = sorted(range(len(found.names)), key=lambda i: found.means[i])
    names = ", ".join(f"{found.names[i]} {found.means[i]:.2f}" for i in order)
    text = f"mean ranks over {found.n} patients: {names}; nearer than {found.critical:.2f} is not told apart (Nemenyi)"
    p = f"Friedman p {'< 0.001' if found.p < 0.001 else f'= {found.p:.3f}'}"
    return f"{text}; {p}" + ("" if found.p <= 0.05 else ": no difference shown among them")


def picture(panels: Sequence[tuple[str, Ranks]]) -> bytes:
    """(title, ranks) of at most `MOST` tasks -> PNG, a panel each."""
    shown = panels[:MOST]
    heights = [_rows(found) for _, found in shown]
    figure, axes = blank(
        sum(0.25 * rows + 0.55 for rows in heights), 5.2, len(shown), squeeze=False, height_ratios=heights
    )
    for one, (title, found) in zip(axes[:, 0], shown, strict=True):
        _panel(one, title, found)
    return png(figure)


def _rows(found: Ranks) -> float:
    """Height of a panel, in lines of text."""
    return 2.0 + -(-len(found.names) // 2) + 0.6 * len(found.cliques())


def _panel(axes: Any, title: str, found: Ranks) -> None:
    """The best rank is on the left; names stand at the nearer side, the outermost highest so that no lines cross."""
    k, groups = len(found.names), found.cliques()
    order = sorted(range(k), key=lambda i: found.means[i])
    half = -(-k // 2)
    top = 0.6 * len(groups) + 0.8
    for place, i in enumerate(order):
        left = place < half
        depth = top + (place if left else k - 1 - place)
        end = 0.8 if left else k + 0.2
        axes.plot([found.means[i], found.means[i], end], [0, depth, depth], color=COLOURS[0], linewidth=1)
        label = f"{found.names[i]} {found.means[i]:.2f}"
        axes.text(
            end, depth, f"{label} " if left else f" {label}", ha="right" if left else "left", va="center", fontsize=8
        )
    mean = dict(zip(found.names, found.means, strict=True))
    for level, group in enumerate(groups):
        height = 0.6 * level + 0.5
        axes.plot([mean[group[0]] - 0.03, mean[group[-1]] + 0.03], [height, height], color="black", linewidth=3)
    axes.plot([1, min(k, 1 + found.critical)], [-0.9, -0.9], color="0.4", linewidth=1.5, marker="|")
    axes.text(1, -1.1, f"critical difference {found.critical:.2f}, n = {found.n}", fontsize=7, color="0.3", va="bottom")
    axes.plot([1, k], [0, 0], color="black", linewidth=1)
    for rank in range(1, k + 1):
        axes.plot([rank, rank], [0, -0.2], color="black", linewidth=1)
        axes.text(rank, -0.25, str(rank), fontsize=7, ha="center", va="bottom")
    axes.set_xlim(1 - 0.75 * (k - 1) - 0.2, k + 0.75 * (k - 1) + 0.2)
    axes.set_ylim(top + half, -1.9)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
