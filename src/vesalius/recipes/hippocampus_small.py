"""vox2vec and PCRLv2 on 260 MR crops round the hippocampus, at 1 mm: a pyramid of width 8, a U-Net of width 16.

Command: vesalius run hippocampus_small --only vox2vec_0 (to vox2vec_4, then pcrlv2_0 to pcrlv2_4); a run that was stopped
goes on.
Data: Medical Segmentation Decathlon, task 4 (CC BY-SA 4.0), its images without their labels: of each of five folds those that
are not its test, so that no encoder is tested on images that it has seen.
Time, hardware, loss curves: recipes/results/hippocampus_small.*.
The papers' numbers: none. Both pretrain on CT alone; of the Decathlon vox2vec uses the tasks on CT.
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import chosen, pcrlv2_ct_small, variants

NAME = Path(__file__).stem
FOLDS = 5
DATA = f"msd:{{}}/mr_hippocampus/Task04_Hippocampus?folds={FOLDS}&fold={{}}"
SHARED: dict[str, Any] = {
    "spacing": (1.0, 1.0, 1.0),
    "upsample": False,
    "batch": 10,
    "epochs": 25,  # of 19 steps
    "holdout": 0.05,
    "workers": 0,
    "log_steps": 19,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "vox2vec": {
        "backbone": "fpn8x4",
        "body": False,  # it is told from air by HU
        "optim": {"lr": 1e-3, "schedule": "cosine", "warmup_epochs": 2.0},
        "method": {"patch": (24, 24, 24), "voxels": 200},  # the crops have about 35 x 50 x 36 voxels
    },
    "pcrlv2": {
        "backbone": "unet16x4",
        "ndim": 3,
        "in_channels": 1,
        "optim": {**pcrlv2_ct_small.SETTINGS["optim"], "warmup_epochs": 2.0},
        "method": {
            **pcrlv2_ct_small.METHOD,
            "patch": (24, 24, 24),
            "small_patch": (12, 12, 12),
            "sizes": ((24, 24, 24), (28, 32, 28), (32, 36, 32)),
            "small_sizes": ((8, 8, 8), (12, 12, 12), (16, 16, 16)),
            "margin": (0, 0, 0),  # the structure lies in the middle
        },
    },
}
RUNS: variants.Variants = {f"{method}_{fold}": (method, {}) for method in SETTINGS for fold in range(FOLDS)}


def encoders(out: str | Path, fold: int) -> dict[str, str | Path]:
    """Name of a method -> its folder in `out`, which knows the patients of pretraining."""
    return {method: Path(out) / f"{method}_{fold}" for method in SETTINGS}


def main(
    data: str = "../shared/data", out: str = f"runs/{NAME}", only: str = "", threads: int = 2, record: str = ""
) -> None:
    """Pretrain the ten, or go on with them.

    Args:
        data: folder that holds mr_hippocampus
        out: folder of the runs
        only: one of them, such as vox2vec_0
        threads: of each run
        record: root of a checkout: write the finished runs' numbers into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "msd, task 4", weights=())
        return
    for name in chosen(RUNS, only):
        method, _, fold = name.partition("_")
        own = {**SHARED, **SETTINGS[method], "threads": threads}
        variants.pretrain(
            RUNS, [f"{DATA.format(data, fold)}&only=train,valid"], Path(out), own, own.pop("method"), name
        )
