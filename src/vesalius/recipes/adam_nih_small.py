"""Adam, MoCo-v2 and MoCo-v2 with Adam's crop scales, on a thousand real radiographs and two CPU cores.

Command: vesalius run adam_nih_small --only adam (then moco, moco_windows); a run that was stopped goes on.
Data: NIH ChestX-ray14 (a thousand of its images) without the patients of a fixed test list, and Hannover's COVID-19 images.
Time, hardware, loss curves: recipes/results/adam_nih_small.*; encoders: weights/.
The paper's number: none at this size. It trained on 75,312 images for 600 epochs on four V100. What can be compared with it
(locality, transfer) are the recipes of those measures.

The three runs share data, network, seed, steps, crops, augmentations, optimiser and bank, and differ in this alone:
  adam          parts 1, 4, 16 (n = 0, 2, 4), and from n = 2 on the purposive pruner
  moco          both crops from the whole image, in all three stages; no pruner
  moco_windows  crops from a random window of 1, 1/4, 1/16 of the image: Adam's scales, but no place, and no pruner
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import variants

DATA = ("chestxray14:{}/cxr/nih?table=labels.csv", "folder:{}/cxr/hannover?manifest=metadata.csv")
EXCLUDED = "splits/nih_test_patients.txt"

SETTINGS: dict[str, Any] = {
    "backbone": "resnet18",  # ResNet-50 needs a GPU
    "batch": 64,  # 256 would leave 3 steps an epoch
    "epochs": 40,  # of each stage: an hour or more on one core; the papers' 200 epochs are 15 million pairs a stage
    "holdout": 0.05,
    "optim": {
        "kind": "adamw",  # SGD at 0.03 had hardly moved after 370 steps
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "warmup_epochs": 5.0,  # the bank begins with random keys, and each stage with a fresh optimiser
    },
    "threads": 1,  # two runs side by side: one thread each is 1.4 times as fast as two threads in turn
    "workers": 0,
    "log_steps": 15,
}
METHOD: dict[str, Any] = {
    "size": 64,  # 224 takes ten times as long a step; the steps are worth more
    "scale": (0.5, 1.0),  # 0.2, and even 0.3, at 64 px leaves little in common: the loss fell by 0.4 in 150 steps
    "jitter": (0.4, 0.4, 0.0, 0.0),  # the images are grey: saturation and hue would do nothing
    "blur": (0.1, 0.6),  # 2.0 px of 224 are 0.6 px of 64
    "rotation": 10.0,  # 30: the same
    "bank": 1024,  # 65,536 keys would be 66 epochs old; 1,024 is one epoch
    "momentum": 0.99,  # 0.999 follows over 1,000 steps: half of the whole run
    "groups": 2,  # 32 images a group: with 8 or 16 the shuffled keys' statistics drown what is to be learned
    "head_norm": True,  # without it embeddings stay within a narrow cone for hundreds of steps, and the pruner takes all
}
RUNS: variants.Variants = {
    "adam": ("adam", {"levels": (0, 2, 4), "prune_from": 0.9}),  # the pruner waits until the embeddings have spread
    "moco": ("moco", {"windows": (0, 0, 0), "flip": 0.0}),  # no flip: left and right differ in Adam's runs too
    "moco_windows": ("moco", {"windows": (0, 2, 4), "flip": 0.0}),
}


NAME = Path(__file__).stem


def encoders(weights: str | Path) -> dict[str, str | Path]:
    """Name of a run -> its encoder, as `record` writes them into the folder `weights`."""
    return {name: Path(weights) / f"{NAME}-{name}.safetensors" for name in RUNS}


def main(
    data: str = "../shared/data",
    out: str = f"runs/{NAME}",
    only: str = "",
    seed: int = 0,
    record: str = "",
) -> None:
    """Pretrain adam, moco and moco_windows one after the other, or go on with them.

    Args:
        data: folder that holds cxr/nih, cxr/hannover and splits/nih_test_patients.txt
        out: folder of the runs
        only: one of the three, such as to train two side by side
        seed: of crops, networks and banks
        record: root of a checkout: write the finished runs' numbers and encoders into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "chestxray14 + hannover")
        return
    settings = {**SETTINGS, "seed": seed, "exclude_patients": f"{data}/{EXCLUDED}"}
    variants.pretrain(RUNS, [source.format(data) for source in DATA], Path(out), settings, METHOD, only)
