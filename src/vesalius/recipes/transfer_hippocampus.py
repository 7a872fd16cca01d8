"""Anterior and posterior hippocampus, five folds: vox2vec's and PCRLv2's pyramids probed and fine-tuned, and from scratch,
with all labels and with 10, 20 and 50 % of them.

Command: vesalius run hippocampus_small, then vesalius run transfer_hippocampus. Hours: see recipes/results.
Data: Medical Segmentation Decathlon, task 4: 260 patients, each tested on once, by encoders that were pretrained on the other
folds' images.
The papers' numbers: none for this task.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import hippocampus_small, transfer, transfer_headneck

NAME = Path(__file__).stem
PATCH: dict[str, Any] = {"patch": (24, 24, 24)}
# Those of transfer_headneck, fewer steps: here there are two structures, and they are next to each other.
LINEAR: dict[str, Any] = {**transfer_headneck.LINEAR, **PATCH, "steps": 600}
NONLINEAR: dict[str, Any] = {**transfer_headneck.NONLINEAR, **PATCH, "steps": 600}
TUNED: dict[str, Any] = {**transfer_headneck.TUNED, **PATCH, "steps": 400}
SHARES = Plan(shares=transfer_headneck.SHARES[:-1], draws=1)  # of each fold; with all labels: linear, finetune
BLANK = {"vox2vec": ("random", "scratch"), "pcrlv2": ("random U-Net", "scratch U-Net")}


def studies(data: str, encoders: str) -> transfer.Studies:
    """Of each fold heads on frozen pyramids, beside those of random weights; fine-tuning, beside from scratch."""
    found: dict[str, tuple[Mapping[str, str | Path], Study]] = {}
    for fold in range(hippocampus_small.FOLDS):
        runs = hippocampus_small.encoders(encoders, fold)
        source = hippocampus_small.DATA.format(Path(data).resolve(), fold)
        linear = Study(source, "linear", plan=Plan(draws=1), settings=LINEAR)
        random, scratch = (
            {**runs, **{BLANK[name][i]: f"{word}:{run}" for name, run in runs.items()}}
            for i, word in enumerate(("random", "scratch"))
        )
        found[f"linear_{fold}"] = random, linear
        found[f"nonlinear_{fold}"] = random, replace(linear, protocol="nonlinear", settings=NONLINEAR)
        found[f"finetune_{fold}"] = scratch, replace(linear, protocol="finetune", settings=TUNED)
        for name in ("linear", "finetune"):
            beside, study = found[f"{name}_{fold}"]
            found[f"{name}_shares_{fold}"] = beside, replace(study, plan=SHARES)
    return found


def main(
    data: str = "../shared/data",
    encoders: str = f"runs/{hippocampus_small.NAME}",
    out: str = f"runs/{NAME}",
    only: str = "",
    runs: tuple[str, ...] = (),
    record: str = "",
) -> None:
    """Measure the encoders and random weights, or go on with it.

    Args:
        data: folder that holds mr_hippocampus
        encoders: folder of hippocampus_small's runs
        out: folder of the rows
        only: one of linear, nonlinear, finetune, linear_shares, finetune_shares, with the fold, such as linear_0
        runs: encoders of that study alone, such as to measure two side by side, into two folders; random weights go
            beside a run
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, encoders), out, only, record, NAME, runs)
