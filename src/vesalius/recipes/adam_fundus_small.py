"""Adam and MoCo-v2 on fundus photographs: the paper's second body part (figure 5.4), on 48 photographs and two CPU cores.

Command: vesalius run adam_fundus_small --only adam (then moco); a run that was stopped goes on.
Data: CHASE_DB1 and the training photographs of DRIVE; DRIVE's test photographs are left out.
Time, hardware, loss curves: recipes/results/adam_fundus_small.*. The encoders are not handed on: the terms of DRIVE and
CHASE_DB1 do not say that they may be.
The paper's numbers: DRIVE Dice 80.0 (Adam), 78.4 (MoCo-v2), 78.3 (random), after pretraining on EyePACS' 88,702 photographs.
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import adam_nih_small, variants

NAME = Path(__file__).stem
DATA = ("chase_db1:{}/fundus/chase_db1", "drive:{}/fundus/drive?only=train")
SETTINGS: dict[str, Any] = {
    **adam_nih_small.SETTINGS,
    "grey": False,
    "batch": 32,  # of 48 photographs
    "epochs": 300,  # of one step
    "holdout": 0.0,
    "optim": {**adam_nih_small.SETTINGS["optim"], "warmup_epochs": 30.0},
}
METHOD: dict[str, Any] = {**adam_nih_small.METHOD, "jitter": (0.4, 0.4, 0.2, 0.05), "bank": 256}  # eight steps' keys
RUNS: variants.Variants = {
    "adam": ("adam", {"levels": (0, 2, 4), "prune_from": 0.9}),
    "moco": ("moco", {"windows": (0, 0, 0), "flip": 0.0}),
}


def main(
    data: str = "../shared/data", out: str = f"runs/{NAME}", only: str = "", seed: int = 0, record: str = ""
) -> None:
    """Pretrain adam and moco one after the other, or go on with them.

    Args:
        data: folder that holds fundus/chase_db1 and fundus/drive
        out: folder of the runs
        only: one of the two, such as to train them side by side
        seed: of crops, networks and banks
        record: root of a checkout: write the finished runs' numbers into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "chase_db1 + drive (train)", weights=())
        return
    sources = [source.format(data) for source in DATA]
    variants.pretrain(RUNS, sources, Path(out), {**SETTINGS, "seed": seed}, METHOD, only)
