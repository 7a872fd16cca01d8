"""Plots of numbers, each a small PNG that is still legible on a phone. Nothing global of matplotlib is touched."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.chance import permutation
from vesalius.report.folders import RunFolder
from vesalius.report.tables import Quantity, Scores

# Okabe and Ito's colours: told apart by colour-blind eyes as well. Shapes say it again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31")
GREYS = {
    "random": ("#333333", "o"),
    "raw_pixels": ("#6b6b6b", "s"),
    "coordinates": ("#8c8c8c", "^"),
    "scanner": ("#a6a6a6", "v"),
    "scratch": ("#6b6b6b", "D"),
}
SHAPES = "osD^vP*X"
WIDTH, DPI = 4.2, 150  # inches; 630 px: sharp at 390 css px, and text of 9 pt is then 11 px high
POINTS = 2000  # of a t-SNE picture
PANELS = {
    "loss": "loss",
    "watch_loss": "loss, held-out patients",
    "spread": "spread of embeddings (1: even)",
    "pruned": "share of negatives pruned",
    "probe_linear_dice": "Dice of a linear probe, held-out patients",
    "probe_nonlinear_dice": "Dice of a non-linear probe, held-out patients",
}
SMOOTH = 3  # logged batches whose mean is drawn: a batch of 64 is noisy


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture with its caption and the words that stand for it. photo: of images, not to be inverted."""

    data: bytes
    alt: str
    caption: str
    mime: str = "image/png"
    photo: bool = False

    @property
    def source(self) -> str:
        """As a data URL."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class Look:
    """How a run is drawn, the same in all plots."""

    colour: str
    shape: str
    line: str = "-"
    filled: bool = True


def looks(runs: Sequence[str]) -> dict[str, Look]:
    """Runs in colour, controls in grey, hollow and dashed."""
    found, coloured = {}, 0
    for run in runs:
        plain = run.split(" (")[0]
        if plain in GREYS:
            found[run] = Look(*GREYS[plain], "--", filled=False)
        else:
            found[run] = Look(COLOURS[coloured % len(COLOURS)], SHAPES[coloured % len(SHAPES)])
            coloured += 1
    return found


def blank(height: float, width: float = WIDTH, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure and its axes, apart from pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def png(figure: Any) -> bytes:
    """Encoded, without the words about who made it."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def tidy(axes: Any, title: str = "", x: str = "") -> None:
    """Small words, no box, a title and a label."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)


def curves(runs: Sequence[RunFolder], styles: Mapping[str, Look]) -> list[Picture]:
    """A picture a number of the log, a line a run, a grey line where a stage begins."""
    found = []
    for name, title in PANELS.items():
        drawn = [(run, points) for run in runs if len(points := _logged(run, name))]
        if not drawn:
            continue
        figure, axes = blank(2.6)
        for run, points in drawn:
            look = styles[run.name]
            axes.plot(*points.T, color=look.colour, linestyle=look.line, linewidth=1.4, label=run.name)
        for start in {start for run, _ in drawn for start in _starts(run)}:
            axes.axvline(start, color="0.8", linewidth=1, zorder=0)
        tidy(axes, title, "step")
        if len(drawn) > 1:
            axes.legend(fontsize=8, frameon=False)
        ends = "At the end: " + ", ".join(f"{run.name} {points[-1, 1]:.3g}" for run, points in drawn) + "."
        found.append(Picture(png(figure), f"Curve of {title} over training steps. {ends}", ends))
    return found


def _logged(run: RunFolder, name: str) -> NDArray[np.float64]:
    """(N, 2) step and number, a running mean of SMOOTH within a stage."""
    found: list[tuple[float, float]] = []
    for stage in dict.fromkeys(line.get("stage", 0) for line in run.steps):
        own = [line for line in run.steps if line.get("stage", 0) == stage and line.get(name) is not None]
        values = [float(line[name]) for line in own]
        means = [float(np.mean(values[max(0, i + 1 - SMOOTH) : i + 1])) for i in range(len(values))]
        found += [(float(line["total_step"]), mean) for line, mean in zip(own, means, strict=True)]
    return np.array(found).reshape(-1, 2)


def _starts(run: RunFolder) -> list[int]:
    first: dict[int, int] = {}
    for line in run.steps:
        first.setdefault(line.get("stage", 0), line["total_step"])
    return sorted(first.values())[1:]


def by_condition(scores: Scores, what: Sequence[Quantity], title: str, styles: Mapping[str, Look]) -> Picture | None:
    """One number under each condition, a point a run, with 95 % intervals; None where there are less than two conditions."""
    runs = [run for run in scores.runs if any(scores.of(run, one) for one in what)]
    if len(what) < 2 or not runs:
        return None
    figure, axes = blank(3.0 + 0.16 * -(-len(runs) // 3))
    for i, run in enumerate(runs):
        look = styles[run]
        found = [(place, scores.interval(run, one)) for place, one in enumerate(what)]
        points = np.array([(place, f.value, f.low, f.high) for place, f in found if f is not None])
        x = points[:, 0] + (i - (len(runs) - 1) / 2) * 0.7 / len(runs)
        axes.vlines(x, points[:, 2], points[:, 3], color=look.colour, linewidth=1.2)
        face = look.colour if look.filled else "white"
        axes.plot(x, points[:, 1], look.shape, color=look.colour, markerfacecolor=face, markersize=5, label=run)
    parts = len({one.structure for one in what}) > 1  # of the body, or of the network, side by side
    words = [(one.structure if parts else one.condition or one.structure) or "as stored" for one in what]
    axes.set_xticks(range(len(what)), words)
    for edge in range(len(what) - 1):
        axes.axvline(edge + 0.5, color="0.9", linewidth=1, zorder=0)
    tidy(axes, title)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    alt = f"Points with intervals: {title}, for {', '.join(runs)}. The numbers are in the table."
    side = "lower is better" if what[0].lower_is_better else "higher is better"
    return Picture(png(figure), alt, f"{side[0].upper()}{side[1:]}. Points: means; bars: 95 % intervals over patients.")


def neighbours(run: str, arrays: Mapping[str, NDArray[Any]]) -> Picture | None:
    """A map of vectors (t-SNE) coloured by labels (N,): places (N, 2), or made here of vectors (N, D), the moved ones where
    there are. None where there are none, fewer than five are left, or all are the same."""
    found = _placed(arrays)
    if found is None:
        return None
    places, labels, condition, what = found
    names = np.unique(labels)
    figure, axes = blank(4.2 + 0.17 * -(-min(len(names), 24) // 2))
    for i, name in enumerate(names):
        look = {"marker": SHAPES[i % len(SHAPES)], "color": COLOURS[i % len(COLOURS)]}
        axes.scatter(*places[labels == name].T, s=9, linewidths=0, label=str(name), **look)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(run, fontsize=10)
    if len(names) <= 24:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False, markerscale=1.6)
    text = f"{len(places)} {what[0]}" + (f", condition {condition}" if condition else "")
    if "patients" in arrays:
        text += f", {len(np.unique(arrays['patients']))} patients"
    alt = f"t-SNE of vectors of {run}: {text}, {len(names)} {what[1]}."
    return Picture(png(figure), alt, f"{text[0].upper()}{text[1:]}.")


Placed = tuple[NDArray[Any], NDArray[Any], str, tuple[str, str]]


def _placed(arrays: Mapping[str, NDArray[Any]]) -> Placed | None:
    """Places, their labels, the condition they were seen under, and what points and labels are called."""
    if "places" in arrays:
        return arrays["places"], arrays["labels"], "", ("voxels", "structures")
    if "vectors" not in arrays:
        return None
    from vesalius.anatomy.tsne import tsne  # heavy: not at import

    shown = arrays.get("conditions", np.full(len(arrays["labels"]), ""))
    condition = "all" if "all" in shown else str(shown[0]) if len(shown) else ""
    chosen = np.flatnonzero(shown == condition)
    chosen = chosen[np.sort(permutation(len(chosen), 0)[:POINTS])]
    places = tsne(arrays["vectors"][chosen])
    return None if places is None else (places, arrays["labels"][chosen], condition, ("patches", "landmarks"))


def densities(run: str, arrays: Mapping[str, NDArray[Any]]) -> Picture | None:
    """Gaussian KDE of cosines: whole against own parts, and against shuffled parts, a panel for 2, 3 and 4 parts."""
    counts = [n for n in (2, 3, 4) if len(arrays.get(f"parts_{n}", ())) and len(arrays.get(f"shuffled_{n}", ()))]
    if not counts:
        return None
    figure, panels = blank(1.3 * len(counts) + 0.5, rows=len(counts), sharex=True, squeeze=False)
    pairs = {n: (arrays[f"parts_{n}"].astype(np.float64), arrays[f"shuffled_{n}"].astype(np.float64)) for n in counts}
    low = min(0.0, *(float(np.min(values)) for pair in pairs.values() for values in pair))
    grid = np.linspace(low, 1, 300)
    for axes, n in zip(panels[:, 0], counts, strict=True):
        own, shuffled = (_density(values, grid) for values in pairs[n])
        axes.fill_between(grid, own, color=COLOURS[0], alpha=0.35, linewidth=0)
        axes.plot(grid, own, color=COLOURS[0], linewidth=1.4, label="own parts")
        axes.plot(grid, shuffled, color="#333333", linewidth=1.4, linestyle="--", label="shuffled parts (control)")
        axes.set_yticks([])
        axes.set_ylim(bottom=0)
        tidy(axes)
        axes.set_ylabel(f"{n} parts", fontsize=9)
    panels[0, 0].set_title(run, fontsize=10)
    panels[-1, 0].set_xlabel("cosine of whole and parts", fontsize=9)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False
    )
    medians = "; ".join(f"{n} parts {np.median(a):.2f}, shuffled {np.median(b):.2f}" for n, (a, b) in pairs.items())
    return Picture(png(figure), f"Densities of cosines of {run}. Medians: {medians}.", f"Medians: {medians}.")


def _density(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the grid; values that hardly differ, of which no kernel can be fitted, become a narrow peak."""
    from scipy.stats import gaussian_kde, norm

    if len(values) < 3 or np.std(values) < 1e-4:
        return np.asarray(norm.pdf(grid, np.mean(values), 0.01))
    return np.asarray(gaussian_kde(values)(grid))
