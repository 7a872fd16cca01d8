"""vox2vec on 260 MR crops round the hippocampus: a pyramid of width 8, at 1 mm.

Command: vesalius run vox2vec_hippocampus_small; a run that was stopped goes on.
Data: Medical Segmentation Decathlon, task 4 (CC BY-SA 4.0), its training images without their labels.
Time, hardware, loss curve: recipes/results/vox2vec_hippocampus_small.*.
The paper's number: none. It pretrains on CT alone; of the Decathlon it uses the tasks on CT.
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import variants

NAME = Path(__file__).stem
DATA = "msd:{}/mr_hippocampus/Task04_Hippocampus"
SETTINGS: dict[str, Any] = {
    "backbone": "fpn8x4",
    "spacing": (1.0, 1.0, 1.0),
    "body": False,  # it is told from air by HU
    "batch": 10,
    "epochs": 40,  # of 24 steps
    "holdout": 0.05,
    "optim": {"lr": 1e-3, "schedule": "cosine", "warmup_epochs": 2.0},
    "workers": 0,
    "log_steps": 24,
}
METHOD: dict[str, Any] = {"patch": (24, 24, 24), "voxels": 200}  # the crops have about 35 x 50 x 36 voxels
RUNS: variants.Variants = {"seed0": ("vox2vec", {})}


def main(data: str = "../shared/data", out: str = f"runs/{NAME}", threads: int = 2, record: str = "") -> None:
    """Pretrain the pyramid, or go on with it.

    Args:
        data: folder that holds mr_hippocampus
        out: folder of the run
        threads: of the run
        record: root of a checkout: write the finished run's numbers into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "msd, task 4", weights=())
        return
    variants.pretrain(RUNS, [DATA.format(data)], Path(out), {**SETTINGS, "threads": threads}, METHOD, "")
