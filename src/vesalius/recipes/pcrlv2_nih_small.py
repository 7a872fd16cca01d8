"""PCRLv2 on the radiographs of adam_nih_small: its images, patients kept out, network, side, seed and time.

Command: vesalius run pcrlv2_nih_small; a run that was stopped goes on.
Data: as adam_nih_small.
Time, hardware, loss curve: recipes/results/pcrlv2_nih_small.*; encoder: weights/.
The paper's number: none at this size. It trained a ResNet-18 at 224 px, with small crops of 96, on ChestX-ray14 for 240
epochs of batches of 64, from ImageNet's weights; here they are random.
"""

from pathlib import Path
from typing import Any

from vesalius.recipes import adam_nih_small, variants

NAME = Path(__file__).stem
# One stage, of the hour and a quarter of one core that Adam's three took: half the batch and 1,440 steps, of three times the
# work an image. Optimiser, warm-up and holdout are Adam's, too.
SETTINGS: dict[str, Any] = {**adam_nih_small.SETTINGS, "batch": 32, "epochs": 48}
METHOD: dict[str, Any] = {
    "size": 64,
    "small_size": 32,  # 96 of 224 are 27 of 64
    "jitter": (0.4, 0.4, 0.0, 0.0),  # the images are grey
    "grayscale": 0.0,
    "blur": (0.1, 0.6),  # 2.0 px of 224 are 0.6 px of 64
    "flip": 0.0,  # left and right differ in Adam's runs, too
    "small": 2,  # of 6: more images seen in the same time
    "groups": 1,  # 32 images a group, as in Adam's runs
}
RUNS: variants.Variants = {"pcrlv2": ("pcrlv2", {})}


def encoders(weights: str | Path) -> dict[str, str | Path]:
    """Name of the run -> its encoder, as `record` writes it into the folder `weights`."""
    return {name: Path(weights) / f"{NAME}-{name}.safetensors" for name in RUNS}


def main(data: str = "../shared/data", out: str = f"runs/{NAME}", seed: int = 0, record: str = "") -> None:
    """Pretrain PCRLv2, or go on with it.

    Args:
        data: folder that holds cxr/nih, cxr/hannover and splits/nih_test_patients.txt
        out: folder of the run
        seed: of crops and networks
        record: root of a checkout: write the finished run's numbers and encoder into it, and train nothing
    """
    if record:
        variants.write_down(RUNS, Path(out), Path(record), NAME, "chestxray14 + hannover")
        return
    settings = {**SETTINGS, "seed": seed, "exclude_patients": f"{data}/{adam_nih_small.EXCLUDED}"}
    variants.pretrain(RUNS, [source.format(data) for source in adam_nih_small.DATA], Path(out), settings, METHOD, "")
