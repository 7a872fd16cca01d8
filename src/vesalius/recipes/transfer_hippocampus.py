"""Anterior and posterior hippocampus, five folds: vox2vec's pyramid probed and fine-tuned, and from scratch.

Command: vesalius run vox2vec_hippocampus_small, then vesalius run transfer_hippocampus. Hours: see recipes/results.
Data: Medical Segmentation Decathlon, task 4: 260 patients, each tested on once. The pyramid was pretrained on the images of
all of them, without labels: those of a fold's test, too, as every row says.
The paper's numbers: none for this task.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import transfer, transfer_headneck, vox2vec_hippocampus_small

NAME = Path(__file__).stem
# Those of transfer_headneck, fewer steps: here there are two structures, and they are next to each other.
LINEAR: dict[str, Any] = {**transfer_headneck.LINEAR, "patch": (24, 24, 24), "steps": 600}
NONLINEAR: dict[str, Any] = {**transfer_headneck.NONLINEAR, "patch": (24, 24, 24), "steps": 600}
TUNED: dict[str, Any] = {**transfer_headneck.TUNED, "patch": (24, 24, 24), "steps": 400}


def studies(data: str, encoders: str) -> transfer.Studies:
    """Heads on frozen pyramids, beside that of random weights; fine-tuning, beside from scratch."""
    run: dict[str, str | Path] = {"vox2vec": Path(encoders) / "seed0"}
    source = vox2vec_hippocampus_small.DATA.format(Path(data).resolve())
    linear = Study(source, "linear", plan=Plan(draws=1, folds=5), settings=LINEAR, allow_leak=True)
    return {
        "linear": ({**run, "random": "random"}, linear),
        "nonlinear": ({**run, "random": "random"}, replace(linear, protocol="nonlinear", settings=NONLINEAR)),
        "finetune": ({**run, "scratch": "scratch"}, replace(linear, protocol="finetune", settings=TUNED)),
    }


def main(
    data: str = "../shared/data",
    encoders: str = f"runs/{vox2vec_hippocampus_small.NAME}",
    out: str = f"runs/{NAME}",
    only: str = "",
    record: str = "",
) -> None:
    """Measure the pyramid and random weights, or go on with it.

    Args:
        data: folder that holds mr_hippocampus
        encoders: folder of vox2vec_hippocampus_small's run
        out: folder of the rows
        only: one of linear, nonlinear, finetune
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, encoders), out, only, record, NAME)
