"""What PCRLv2's parts are worth: the ablations of pcrlv2_ct_small on seven organs of the head and neck.

Command: vesalius run pcrlv2_ct_small, then vesalius run transfer_pcrlv2_ablations. Hours: see recipes/results.
Data: as transfer_headneck; a linear head with all labels, and fine-tuning with 6 labelled patients.
The paper's numbers: none for this task.
"""

from dataclasses import replace
from pathlib import Path

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import pcrlv2_ct_small, transfer, transfer_headneck

NAME = Path(__file__).stem


def studies(data: str, encoders: str) -> transfer.Studies:
    """The linear head and fine-tuning, beside random weights."""
    runs: dict[str, str | Path] = {name: Path(encoders) / name for name in pcrlv2_ct_small.ABLATIONS}
    source = transfer_headneck.DATA.format(Path(data).resolve())
    linear = Study(source, "linear", plan=Plan(draws=2), settings=transfer_headneck.LINEAR)
    fewshot = replace(linear, protocol="fewshot", plan=Plan(shots=(6,), draws=2), settings=transfer_headneck.TUNED)
    return {"linear": ({**runs, "random": "random"}, linear), "fewshot": ({**runs, "scratch": "scratch"}, fewshot)}


def main(
    data: str = "../shared/data",
    encoders: str = f"runs/{pcrlv2_ct_small.NAME}",
    out: str = f"runs/{NAME}",
    only: str = "",
    runs: tuple[str, ...] = (),
    record: str = "",
) -> None:
    """Measure the variants and random weights, or go on with it.

    Args:
        data: folder that holds ct_headneck
        encoders: folder of pcrlv2_ct_small's runs
        out: folder of the rows
        only: one of linear, fewshot
        runs: variants of that study alone, such as to measure two side by side, into two folders
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, encoders), out, only, record, NAME, runs)
