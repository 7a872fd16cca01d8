"""Draws the curves of a recipe's runs from its CSV: `python docs/pictures/draw_curves.py [FOLDER]`. Needs matplotlib."""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from vesalius.recipes import tables

RECIPE = "adam_nih_small"
SMOOTH = 3  # logged batches whose mean is drawn: a batch of 64 is noisy
PANELS = {
    "loss": "loss",
    "watch_loss": "loss, held-out patients",
    "spread": "spread of embeddings (1: even)",
    "alike": "share of bank with cosine above 0.8",
}


def main(folder: Path) -> None:
    """Write RECIPE.png into `folder`: a panel a number, a line a run, a grey line where a stage begins."""
    mpl.use("Agg")
    found = pd.read_csv(tables.RESULTS / f"{RECIPE}.csv")
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 3), constrained_layout=True)
    starts = found.groupby("stage").total_step.min().tolist()[1:]
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        for run, own in found.groupby("run", sort=False):
            drawn = own.groupby("stage")[name].transform(lambda x: x.rolling(SMOOTH, min_periods=1).mean())
            axis.plot(own.total_step, drawn, label=run, linewidth=1.3)
        for start in starts:
            axis.axvline(start, color="0.8", linewidth=1, zorder=0)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=9)
    axes[1].set_ylim(axes[0].get_ylim())
    axes[0].legend(fontsize=8)
    figure.savefig(folder / f"{RECIPE}.png", dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
