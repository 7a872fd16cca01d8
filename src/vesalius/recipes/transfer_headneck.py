"""Seven organs of the head and neck, from vox2vec's pyramid: probing, fine-tuning, few labels (Figure 2 of the paper).

Command: vesalius run vox2vec_ct_small, then vesalius run transfer_headneck. Hours: see recipes/results.
Data: OpenKBP's planning CT at 4 x 4 x 2.5 mm: 48 to train on, 15 to test on, measured once; settings were tried on the 7 for
validation. The 48 were seen in pretraining, without labels; the 15 were not. An organ without a contour counts nowhere.
The paper's numbers (BTCV, 13 organs, mean Dice): from scratch 0.77, linear 0.65, non-linear 0.73, fine-tuned 0.78; after
pretraining on 6,550 CT. Its random pyramid, frozen, is a point of a figure.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import transfer, vox2vec_ct_small

NAME = Path(__file__).stem
DATA = "ct_headneck:{}/ct_headneck"
SHOTS = (3, 6, 12, 24)
PROBED: dict[str, Any] = {"patch": (32, 32, 32), "steps": 1000, "batch": 7, "lr": 3e-3, "whole": True}
TUNED: dict[str, Any] = {"patch": (32, 32, 24), "steps": 500, "batch": 7, "lr": 1e-3}


def studies(data: str, encoders: str) -> transfer.Studies:
    """Heads on frozen pyramids, beside that of random weights, with few and all labels; fine-tuning, beside from scratch."""
    runs: dict[str, str | Path] = {name: Path(encoders) / name for name in vox2vec_ct_small.RUNS}
    frozen, tuned = {**runs, "random": "random"}, {"seed0": runs["seed0"], "scratch": "scratch"}
    few, everyone = Plan(shots=SHOTS, draws=3), Plan(draws=3)
    linear = Study(DATA.format(Path(data).resolve()), "linear", plan=everyone, settings=PROBED)
    finetune = replace(linear, protocol="finetune", plan=Plan(draws=2), settings=TUNED)
    return {
        "linear": (frozen, linear),
        "nonlinear": (frozen, replace(linear, protocol="nonlinear")),
        "finetune": (tuned, finetune),
        "linear_few": (frozen, replace(linear, plan=few)),
        "nonlinear_few": (frozen, replace(linear, protocol="nonlinear", plan=few)),
        "fewshot": (tuned, replace(finetune, protocol="fewshot", plan=Plan(shots=SHOTS, draws=2))),
    }


def main(
    data: str = "../shared/data",
    encoders: str = f"runs/{vox2vec_ct_small.NAME}",
    out: str = f"runs/{NAME}",
    only: str = "",
    record: str = "",
) -> None:
    """Measure the pyramids and random weights, or go on with it.

    Args:
        data: folder that holds ct_headneck
        encoders: folder of vox2vec_ct_small's runs
        out: folder of the rows
        only: one of linear, nonlinear, finetune, linear_few, nonlinear_few, fewshot
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, encoders), out, only, record, NAME)
