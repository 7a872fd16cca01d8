"""Lungs and heart from few labels: Adam's table 1 on Wingspan's radiographs, for the encoders of
adam_nih_small and pcrlv2_nih_small.

Command: vesalius run transfer_wingspan, then vesalius report runs/transfer_wingspan. Hours: three, on one CPU core.
Data: Wingspan, 199 patients to draw from and 60 to test on, measured once; settings were tried on the 199. No image of
Wingspan was in pretraining.
The paper's numbers (JSRT/SCR, heart, at 3, 6, 12 and 24 shots): Adam 84.35, 86.70, 89.79, 90.45; MoCo-v2 44.84, 59.97, 69.90,
79.69, with ResNet-50 from 75,312 radiographs, at 224 px. Another data set, so not the same task: Wingspan's masks are of
lungs and heart, its images upright and cropped.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import adam_nih_small, pcrlv2_nih_small, transfer

NAME = Path(__file__).stem
DATA = "wingspan:{0}/cxr/wingspan?test_list={0}/splits/wingspan_test.txt"
SHOTS, SHARES = (3, 6, 12, 24), (0.1, 0.2, 0.5, 1.0)
# Chosen on images of the pool, 12 shots, two draws, Adam's encoder and random weights: at 120 steps of 96 px (the same time)
# the loss is still 0.2 and whole structures fail in some trainings; 240 steps of 64 px end below 0.1. Cross entropy beside
# Dice, or a rate of 3e-3, change no mean by more than 0.005.
TUNED: dict[str, Any] = {"size": 64, "steps": 240, "batch": 4}
# At a rate of 3e-4, 1,000 steps do not suffice. The rows were measured on features as they are.
FROZEN: dict[str, Any] = {"size": 128, "steps": 300, "lr": 3e-3, "standardise": False}
NONLINEAR = {**FROZEN, "size": 96, "steps": 200}  # ten times as long a step


def studies(data: str, weights: str) -> transfer.Studies:
    """What is measured: few-shot and full fine-tuning, and heads on frozen features; beside random weights."""
    runs = {**adam_nih_small.encoders(weights), **pcrlv2_nih_small.encoders(weights)}
    tuned, frozen = {**runs, "scratch": "scratch"}, {**runs, "random": "random"}
    source = DATA.format(Path(data).resolve())
    few, all_of_them = Plan(shots=SHOTS, draws=5), Plan(draws=2)
    finetune = Study(source, "finetune", plan=all_of_them, settings={**TUNED, "steps": 480})
    return {
        "fewshot": (tuned, Study(source, "fewshot", plan=few, settings=TUNED, cases=True)),
        "finetune": (tuned, finetune),
        "shares": (tuned, replace(finetune, plan=Plan(shares=SHARES, draws=2))),
        "linear": (frozen, Study(source, "linear", plan=few, settings=FROZEN)),
        "linear_all": (frozen, Study(source, "linear", plan=all_of_them, settings=FROZEN)),
        "nonlinear": (frozen, Study(source, "nonlinear", plan=replace(few, draws=3), settings=NONLINEAR)),
        "nonlinear_all": (frozen, Study(source, "nonlinear", plan=all_of_them, settings=NONLINEAR)),
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
        data: folder that holds cxr/wingspan and splits/wingspan_test.txt
        weights: folder of the encoders
        out: folder of rows and pictures
        only: one of fewshot, finetune, shares, linear, linear_all, nonlinear, nonlinear_all
        runs: encoders of that study alone, such as to measure two side by side, into two folders
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, weights), out, only, record, NAME, runs)
