"""What Adam's parts are worth with few labels: the encoders of adam_ablations on Wingspan's lungs and heart.

Command: vesalius run adam_ablations, then vesalius run transfer_ablations. Hours: two, on one CPU core.
Data: as transfer_wingspan; 3 and 24 labelled patients.
The paper's numbers (heart, all labels): 92.45, 94.45, 95.0 for levels {0}, {0, 2}, {0, 2, 4}; 93.7 without the pruner.
"""

from dataclasses import replace
from pathlib import Path

from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import adam_ablations, transfer, transfer_wingspan

NAME = Path(__file__).stem


def studies(data: str, encoders: str) -> transfer.Studies:
    """Fine-tuning and the linear head, beside random weights."""
    runs: dict[str, str | Path] = {name: Path(encoders) / name for name in adam_ablations.RUNS}
    source = transfer_wingspan.DATA.format(Path(data).resolve())
    few = Plan(shots=(3, 24), draws=2)
    fewshot = Study(source, "fewshot", plan=few, settings=transfer_wingspan.TUNED)
    linear = replace(fewshot, protocol="linear", plan=replace(few, draws=3), settings=transfer_wingspan.FROZEN)
    return {"linear": ({**runs, "random": "random"}, linear), "fewshot": ({**runs, "scratch": "scratch"}, fewshot)}


def main(
    data: str = "../shared/data",
    encoders: str = f"runs/{adam_ablations.NAME}",
    out: str = f"runs/{NAME}",
    only: str = "",
    record: str = "",
) -> None:
    """Measure the variants and random weights, or go on with it.

    Args:
        data: folder that holds cxr/wingspan and splits/wingspan_test.txt
        encoders: folder of adam_ablations' runs
        out: folder of the rows
        only: one of linear, fewshot
        record: root of a checkout: write the rows into it, and measure nothing
    """
    transfer.run(studies(data, encoders), out, only, record, NAME)
