"""Label-efficiency curves: a number against how many patients were labelled, a line a run, bands for 95 % intervals."""

from collections.abc import Mapping

import numpy as np

from vesalius.report.efficiency import Panel, Shots
from vesalius.report.leaks import marked
from vesalius.report.plots import Look, Picture, blank, png, tidy
from vesalius.statistics import Interval

NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95",
    "surface_dice": "surface Dice",
    "auc": "AUC",
    "ap": "average precision",
}


def bands(panel: Panel, title: str, styles: Mapping[str, Look]) -> Picture | None:
    """One panel; None where there is one number of labelled patients alone."""
    if len(panel.shots) < 2:
        return None
    places = _places(panel.shots)
    figure, axes = blank(3.0 + 0.17 * -(-len(panel.runs) // 2))
    for run in panel.runs:
        look = styles[run]
        found = [(places[n], panel.level(run, n)) for n in panel.shots]
        points = np.array([(x, *ends(one)) for x, one in found if one is not None])
        if not len(points):
            continue
        axes.fill_between(points[:, 0], points[:, 2], points[:, 3], color=look.colour, alpha=0.13, linewidth=0)
        axes.plot(
            *points[:, :2].T, look.line, marker=look.shape, color=look.colour, markersize=4.5, linewidth=1.5,
            markerfacecolor=look.colour if look.filled else "white", label=marked(run, panel.leaks),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([places[n] for n in panel.shots], ["all" if n is None else str(n) for n in panel.shots])
    axes.minorticks_off()
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    tidy(axes, title, "labelled patients (log scale)")
    axes.set_ylabel(measured_in(panel), fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    side = "Lower is better" if panel.task.lower_is_better else "Higher is better"
    alt = f"Curves with bands: {title}, {measured_in(panel)} against labelled patients, for {', '.join(panel.runs)}."
    return Picture(png(figure), f"{alt} The numbers are in the table.", f"{side}. Bands: 95 % intervals.")


def measured_in(panel: Panel) -> str:
    """The number and its unit, such as `HD95 (mm)`."""
    name = panel.task.what.name
    unit = panel.unit or ("" if panel.task.lower_is_better else "0 to 1")
    return NAMES.get(name, name) + (f" ({unit})" if unit else "")


def ends(one: Interval | float) -> tuple[float, float, float]:
    """Value and interval; NaN for the ends where there is none."""
    if isinstance(one, Interval):
        return one.value, one.low, one.high
    return one, float("nan"), float("nan")


def _places(shots: tuple[Shots, ...]) -> dict[Shots, float]:
    """On the axis; where rows do not say how many "all" were, they stand to the right, twice as far as the most others."""
    most = max((n for n in shots if n is not None), default=1)
    return {n: float(2 * most if n is None else n) for n in shots}
