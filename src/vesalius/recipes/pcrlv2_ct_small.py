"""PCRLv2 on the 128 real CT of vox2vec_ct_small, with its splits and seeds; and without one of its parts at a time.

Command: vesalius run pcrlv2_ct_small --only seed0 (then seed1, seed2, and the ablations); a run that was stopped goes on.
Data: as vox2vec_ct_small: no validation or test case of the head-and-neck CT, and no labels.
Time, hardware, loss curves: recipes/results/pcrlv2_ct_small.*; encoders of the three seeds: weights/.
The paper's number: none at this size. It pretrained a U-Net of 17 million parameters on 623 CT of LUNA16 at 1 mm, with crops
of 64 to 112 voxels resized to 64 x 64 x 32, batch 32, for 240 epochs.

  seed0, seed1, seed2  the whole method
  full                 the same, and each of the following, at a fifth of the steps
  no_restoration       semantics alone
  no_comparison        pixels alone
  single_scale         the coarsest scale alone
  no_small             large crops alone: no sub-crops
  skips                an ordinary U-Net in pretraining, with skips
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import chosen, variants, vox2vec_ct_small

NAME = Path(__file__).stem
SETTINGS: dict[str, Any] = {
    "backbone": "unet16x4",  # way down: 440,208 parameters, vectors of 240 numbers; a fifth level would see one voxel
    "ndim": 3,
    "in_channels": 1,
    "spacing": vox2vec_ct_small.SETTINGS["spacing"],
    "upsample": False,
    "body": True,  # as vox2vec's
    "batch": 24,
    "epochs": 200,  # of 5 steps: as many pairs of crops as vox2vec_ct_small's, in two thirds of its time
    "holdout": vox2vec_ct_small.SETTINGS["holdout"],
    "optim": {"kind": "adamw", "lr": 1e-3, "schedule": "cosine", "warmup_epochs": 4.0},
    "workers": 0,
    "log_steps": 15,
}
# As in the reference code, large crops are shown as they are or shrunk, by up to 2 a side, and small ones magnified or shrunk
# by up to 2. A first run had views of 32 x 32 x 24, five levels, batches of 8 and the code's noise and weight of pixels: after
# 200 steps views of one scan were as alike as those of two, and nothing was restored. docs/findings.md says what helped.
METHOD: dict[str, Any] = {
    "patch": (24, 24, 16),
    "small_patch": (12, 12, 8),
    "small": 2,  # of 6: more pairs in the same time
    "sizes": ((24, 24, 16), (32, 32, 24), (40, 40, 24), (40, 40, 32)),
    "small_sizes": ((16, 16, 12), (12, 12, 8), (16, 16, 16), (8, 8, 8)),
    "margin": (2, 2, 2),  # scans are cropped to the body
    "tissue": (0.1, 1.0),
    "flip": 0.0,  # left and right are told apart below
    "axis_blur": (0.0, 1.0),
    "noise": (0.0, 0.05),
    "pixels": 20.0,  # one over the views' variance, as if they were standardised; at 1 the restoration stood still
    "swaps": 7,  # of 8 x 4 x 4 voxels: the same share of the view
    "groups": 1,
}
SEEDS: variants.Variants = {f"seed{seed}": ("pcrlv2", {}) for seed in range(3)}
ABLATIONS: variants.Variants = {
    "full": ("pcrlv2", {}),
    "no_restoration": ("pcrlv2", {"restore": False}),
    "no_comparison": ("pcrlv2", {"compare": False}),
    "single_scale": ("pcrlv2", {"scales": (0,)}),
    "no_small": ("pcrlv2", {"small": 0}),
    "skips": ("pcrlv2", {"skips": True}),
}
RUNS = {**SEEDS, **ABLATIONS}


def encoders(out: str | Path) -> dict[str, str | Path]:
    """What a seed is called beside others -> its folder in `out`, which knows the patients of pretraining."""
    return {f"pcrlv2 {name}": Path(out) / name for name in SEEDS}


def main(
    data: str = "../shared/data", out: str = f"runs/{NAME}", only: str = "", threads: int = 2, record: str = ""
) -> None:
    """Pretrain the nine one after the other, or go on with them.

    Args:
        data: folder that holds ct and ct_headneck
        out: folder of the runs
        only: one of them, such as to train two side by side
        threads: of each run
        record: root of a checkout: write the finished runs' numbers and the seeds' encoders into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "ct + ct_headneck (train, unlabelled)", tuple(SEEDS))
        return
    sources = [source.format(data) for source in vox2vec_ct_small.DATA]
    for name in chosen(RUNS, only):
        settings = {**SETTINGS, "seed": int(name[-1]) if name in SEEDS else 0, "threads": threads}
        if name in ABLATIONS:
            settings |= {"epochs": SETTINGS["epochs"] // 5, "optim": {**SETTINGS["optim"], "warmup_epochs": 2.0}}
        variants.pretrain(RUNS, sources, Path(out), settings, METHOD, name)
