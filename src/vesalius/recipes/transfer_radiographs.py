"""Findings in radiographs, by linear probing: any finding in NIH's, pneumonia in Kermany's, for the encoders of
adam_nih_small and pcrlv2_nih_small.

Command: vesalius run transfer_radiographs. Time: minutes, on one CPU core.
Data: NIH ChestX-ray14, a thousand of its images, the 136 patients of a fixed list to test on, kept out of pretraining (the
others' images were seen there, without labels); Kermany's children, 1,001 images to train on, the official 618 to test on.
The paper's numbers: none for these tasks; on the 14 findings of all of ChestX-ray14, fine-tuned: Adam 81.7, MoCo-v2 80.4,
random 80.3 (mean AUC).
"""

from pathlib import Path

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import adam_nih_small, pcrlv2_nih_small, transfer

NAME = Path(__file__).stem
NIH = "chestxray14:{0}/cxr/nih?table=labels.csv&task=any&test_patients={0}/splits/nih_test_patients.txt"
KERMANY = "kermany:{0}/cxr/kermany"


def studies(data: str, weights: str) -> transfer.Studies:
    """Logistic regression on frozen features, beside those of random weights."""
    runs = {**adam_nih_small.encoders(weights), **pcrlv2_nih_small.encoders(weights), "random": "random"}
    root = Path(data).resolve()
    few, shares = Plan(shares=(0.01, 0.1, 1.0), draws=5), Plan(shares=(0.01, 0.1, 0.2, 0.5, 1.0), draws=10)
    return {
        "nih": (runs, Study(NIH.format(root), "linear", plan=shares, settings={"size": 128})),
        "kermany": (runs, Study(KERMANY.format(root), "linear", plan=few, settings={"size": 128})),
    }


def main(
    data: str = "../shared/data",
    weights: str = "weights",
    out: str = f"runs/{NAME}",
    only: str = "",
    runs: tuple[str, ...] = (),
    record: str = "",
) -> None:
    """Measure adam, moco, moco_windows, pcrlv2 and random weights, or go on with it.

    Args:
        data: folder that holds cxr/nih, cxr/kermany and splits/nih_test_patients.txt
        weights: folder of the encoders
        out: folder of rows and scores
        only: nih or kermany
        runs: encoders of that study alone, such as to measure two side by side, into two folders
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, weights), out, only, record, NAME, runs)
