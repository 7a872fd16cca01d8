"""vox2vec on 128 real CT and two CPU cores: a pyramid of width 8, at about 4 x 4 x 2.5 mm; three seeds, and vox2vec-UNet.

Command: vesalius run vox2vec_ct_small --only seed0 (then seed1, seed2, unet); a run that was stopped goes on.
Data: ten CT of chest, abdomen and pelvis, and head-and-neck planning CT (OpenKBP): its 48 training cases without their labels
and 70 unlabelled ones. Its validation and test cases are left out. MIT, Apache-2.0, CC BY 3.0 and 4.0, BSD-3.
Time, hardware, loss curves: recipes/results/vox2vec_ct_small.*; encoders: weights/.
The paper's number: none at this size. It trained a pyramid of width 16 and six levels, 47.6 million parameters, on 6,550 CT at
1 x 1 x 2 mm for three days of an A100. This one has five levels and 2,976,832 parameters; its voxels' vectors have 248 numbers.
A patch spans about the paper's 128 mm across and 60 in place of 64 along the body: voxels that are coarser than asked stay so,
as they are in 73 of the 128 CT, to 5.1 mm across and 5 mm along.

  seed0, seed1, seed2  the pyramid, of which all levels are compared
  unet                 the same network, of which only the map at full resolution is (the paper's vox2vec-UNet)
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import chosen, variants

NAME = Path(__file__).stem
DATA = ("folder:{}/ct/images", "ct_headneck:{}/ct_headneck?only=train,unlabelled")
SETTINGS: dict[str, Any] = {
    "spacing": (4.0, 4.0, 2.5),  # the planning CT have no finer voxels
    "batch": 5,  # 10 in the paper
    "epochs": 200,  # of 24 steps: 4,800; an hour of two cores, or two of one
    "holdout": 0.05,
    "optim": {"lr": 1e-3, "schedule": "cosine", "warmup_epochs": 4.0},  # 3e-4, constant, is for 100,000 steps
    "workers": 0,
    "log_steps": 24,
}
METHOD: dict[str, Any] = {
    "patch": (32, 32, 24),
    "voxels": 400,  # 2,000 pairs a step; 10,000 in the paper
}
# Of the augmentations none is changed: they are in HU, and their filters in voxels of the paper's 1 mm, so they are stronger
# here, where a voxel is four times as wide.
RUNS = {"seed0": (0, "fpn8x5"), "seed1": (1, "fpn8x5"), "seed2": (2, "fpn8x5"), "unet": (0, "fpn8x5-finest")}
VARIANTS: variants.Variants = {name: ("vox2vec", {}) for name in RUNS}


def encoders(out: str | Path) -> dict[str, str | Path]:
    """What a run is called beside others -> its folder in `out`, which knows the patients of pretraining."""
    return {"vox2vec-UNet" if name == "unet" else f"vox2vec {name}": Path(out) / name for name in RUNS}


def main(
    data: str = "../shared/data", out: str = f"runs/{NAME}", only: str = "", threads: int = 2, record: str = ""
) -> None:
    """Pretrain the four one after the other, or go on with them.

    Args:
        data: folder that holds ct and ct_headneck
        out: folder of the runs
        only: one of the four, such as to train two side by side
        threads: of each run
        record: root of a checkout: write the finished runs' numbers and encoders into it, and train nothing
    """
    if record:
        variants.write_down(VARIANTS, Path(out), Path(record), NAME, "ct + ct_headneck (train, unlabelled)")
        return
    sources = [source.format(data) for source in DATA]
    for name in chosen(RUNS, only):
        seed, backbone = RUNS[name]
        settings = {**SETTINGS, "seed": seed, "backbone": backbone, "threads": threads}
        variants.pretrain(VARIANTS, sources, Path(out), settings, METHOD, name)
