"""How good with how many weights that learned: figure 2 of vox2vec, for all protocols of one data set."""

from collections.abc import Mapping, Sequence

from vesalius.report.bands import ends, measured_in
from vesalius.report.efficiency import Panel
from vesalius.report.leaks import marked
from vesalius.report.plots import Look, Picture, blank, png, tidy

WAYS = {  # protocol -> shape, name
    "linear": ("o", "linear probe"),
    "nonlinear": ("s", "non-linear probe"),
    "finetune": ("D", "all weights"),
    "fewshot": ("D", "all weights"),
    "scratch": ("D", "all weights"),
}


def trainable(panels: Sequence[Panel], styles: Mapping[str, Look]) -> Picture | None:
    """A point a run and protocol, at the most labelled patients. panels: of one number, one or more a protocol.

    None where fewer than two numbers of weights are known.
    """
    points = [point for panel in panels for point in _points(panel)]
    if len({at for _, _, at, _ in points}) < 2:
        return None
    figure, axes = blank(3.2 + 0.17 * -(-len({run for run, *_ in points}) // 2))
    leaks = {run: leak for panel in panels for run, leak in panel.leaks.items()}
    named: set[str] = set()
    for run, way, at, (value, low, high) in points:
        look, (shape, _) = styles[run], WAYS[way]
        label = marked(run, leaks) if run not in named else None
        named.add(run)
        axes.plot([at, at], [low, high], color=look.colour, linewidth=1.2, alpha=0.6)
        axes.plot(
            at, value, shape, color=look.colour, markersize=5.5, label=label,
            markerfacecolor=look.colour if look.filled else "white",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    tidy(axes, "Dice against trainable weights", "weights that learned from labels (log scale)")
    axes.set_ylabel(measured_in(panels[0]), fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    shapes = {"o": "circle", "s": "square", "D": "diamond"}
    ways = dict.fromkeys(WAYS[way] for _, way, *_ in points)
    caption = ", ".join(f"{shapes[shape]}: {name}" for shape, name in ways)
    alt = (
        f"Points: {measured_in(panels[0])} against the number of weights that learned, for {', '.join(sorted(named))}."
    )
    return Picture(png(figure), f"{alt} The numbers are in the tables.", f"{caption}. Lines: 95 % intervals.")


def _points(panel: Panel) -> list[tuple[str, str, int, tuple[float, float, float]]]:
    """Run, protocol, weights, and value with the ends of its interval."""
    most, found = panel.shots[-1], []
    for run in panel.runs:
        level, at = panel.level(run, most), panel.trainable(run, most)
        if level is not None and at:
            found.append((run, panel.task.what.measure, at, ends(level)))
    return found
