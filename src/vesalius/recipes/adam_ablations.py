"""Adam without one of its parts at a time: levels, pruner and its threshold (figures 5.2 and 5.3, appendix), equal budget.

Command: vesalius run adam_ablations --only NAME, for each of RUNS; then vesalius run transfer_ablations.
Data, network and settings: those of adam_nih_small, at a fifth of its steps, the same number for every variant, however many
stages it has.
The paper's numbers: heart Dice 92.45, 94.45, 95.0 for levels {0}, {0, 2}, {0, 2, 4}; 95.0 with and 93.7 without the pruner.
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import adam_nih_small, chosen, variants

NAME = Path(__file__).stem
EPOCHS = 24  # of all stages together: 8 of three, 12 of two, 24 of one
WARMUP = 2.0


def _variant(levels: tuple[int, ...], **own: Any) -> tuple[str, dict[str, Any]]:
    return "adam", {"levels": levels, "prune_from": 0.9, **own}


RUNS: variants.Variants = {
    "levels_0": _variant((0,)),
    "levels_02": _variant((0, 2)),
    "levels_024": _variant((0, 2, 4)),
    "no_pruner": _variant((0, 2, 4), threshold=1.1),  # no cosine is above: nothing is pruned
    "gamma_07": _variant((0, 2, 4), threshold=0.7),
    "gamma_09": _variant((0, 2, 4), threshold=0.9),
}


def main(
    data: str = "../shared/data", out: str = f"runs/{NAME}", only: str = "", seed: int = 0, record: str = ""
) -> None:
    """Pretrain the variants one after the other, or go on with them.

    Args:
        data: folder that holds cxr/nih, cxr/hannover and splits/nih_test_patients.txt
        out: folder of the runs
        only: one of them, such as to train two side by side
        seed: of crops, networks and banks
        record: root of a checkout: write the finished runs' numbers into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "chestxray14 + hannover", weights=())
        return
    sources = [source.format(data) for source in adam_nih_small.DATA]
    for name in chosen(RUNS, only):
        kind, own = RUNS[name]
        settings = {
            **adam_nih_small.SETTINGS,
            "epochs": EPOCHS // len(own["levels"]),
            "optim": {**adam_nih_small.SETTINGS["optim"], "warmup_epochs": WARMUP},
            "seed": seed,
            "exclude_patients": f"{data}/{adam_nih_small.EXCLUDED}",
        }
        variants.pretrain({name: (kind, own)}, sources, Path(out), settings, adam_nih_small.METHOD, name)
