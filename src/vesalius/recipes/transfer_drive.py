"""Vessels of the retina: Adam's figure 5.4 on DRIVE, for encoders of radiographs and of 48 fundus photographs.

Command: vesalius run adam_fundus_small, then vesalius run transfer_drive. Hours: one, on one CPU core.
Data: DRIVE, its 20 photographs to train on and 20 to test on, first observer.
The paper's numbers (ResNet-50, EyePACS, 512 px): Adam 80.0, MoCo-v2 78.4, random 78.3.
"""

from pathlib import Path
from typing import Any

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import adam_fundus_small, adam_nih_small, transfer

NAME = Path(__file__).stem
DATA = "drive:{}/fundus/drive"
# Vessels are two pixels wide: images as large as the paper's, learned in windows, since two cores cannot do whole ones.
TUNED: dict[str, Any] = {"size": 512, "window": 128, "steps": 200, "batch": 4}


def studies(data: str, weights: str, fundus: str) -> transfer.Studies:
    """Fine-tuning on all labels: encoders of fundus photographs first, so that random weights see colour as they do."""
    of_fundus = {f"fundus_{name}": Path(fundus) / name for name in adam_fundus_small.RUNS}
    of_chests = {f"chest_{name}": path for name, path in adam_nih_small.encoders(weights).items()}
    runs: dict[str, str | Path] = {**of_fundus, **of_chests, "scratch": "scratch"}
    return {
        "finetune": (runs, Study(DATA.format(Path(data).resolve()), "finetune", plan=Plan(draws=3), settings=TUNED))
    }


def main(
    data: str = "../shared/data",
    weights: str = "weights",
    fundus: str = f"runs/{adam_fundus_small.NAME}",
    out: str = f"runs/{NAME}",
    record: str = "",
) -> None:
    """Measure the encoders and random weights, or go on with it.

    Args:
        data: folder that holds fundus/drive
        weights: folder of the encoders of radiographs
        fundus: folder of adam_fundus_small's runs
        out: folder of the rows
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, weights, fundus), out, "", record, NAME)
