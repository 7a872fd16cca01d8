"""Augmented views per second on one core: from the cache, against the reference from the file. Last line: `views_2d RATIO`.

Both take one of the 2**level parts of every image (levels 0, 2, 4 in equal shares) and make two Adam views of 224 x 224
of it. Reference: decode the file, then Pillow, one view at a time, to normalised float RGB. Ours: what training runs,
`adam.crops`, `collate` and `adam.augment` with the default settings, 48 views a batch, grey as one channel. The same
images, one thread, in the processor's seconds of this process. The sides take turns every 8 images, with the same draws
in every round, and the least of the rounds counts: others on the machine can only add to it. Ours opens each cached file
anew, as in a data set larger than what a worker keeps open. Floor: 8.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch

from vesalius.chance import generator
from vesalius.data import handles
from vesalius.data.build import build
from vesalius.data.cache import CachedScan
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import RADIOGRAPH
from vesalius.methods import adam
from vesalius.train.batches import collate

SHARED = Path(__file__).resolve().parents[2] / "shared"
IMAGES = SHARED / "data" / "cxr" / "nih" / "images"
CONFIG, GROUP = adam.Config(), 8
STAGES = range(CONFIG.stages)


def our_views(scans: Sequence[CachedScan], seed: int) -> dict[str, torch.Tensor]:
    """x1, x2 (V, 1, 224, 224): a pair of views of every scan at every level."""
    samples = [
        adam.crops(generator(seed, stage, scan.index), scan, CONFIG, stage) for stage in STAGES for scan in scans
    ]
    return adam.augment(collate(samples), CONFIG, 0)


def main(images: int = 40, rounds: int = 15) -> None:
    if not IMAGES.is_dir():
        print("views_2d skipped: the radiographs and the reference are not in shared/ beside the checkout")
        return
    sys.path.insert(0, str(SHARED / "bench"))
    from reference import adam_views_from_file

    torch.set_num_threads(1)
    handles.HANDLES = 1
    dataset = open_dataset(str(IMAGES))
    ids = dataset.ids[:images]
    files = [str(dataset.path(id)) for id in ids]
    groups = range(0, images, GROUP)
    seconds = np.empty((2, rounds, len(groups)))
    with tempfile.TemporaryDirectory() as folder:
        scans = build(dataset, list(ids), RADIOGRAPH, Path(folder), workers=1).cache
        for turn, (place, first) in product(range(rounds), enumerate(groups)):
            rng, began = np.random.default_rng(first), time.process_time()
            our_views(scans[first : first + GROUP], first)
            between = time.process_time()
            for file, level in product(files[first : first + GROUP], CONFIG.levels):
                adam_views_from_file(file, level, rng)
            seconds[:, turn, place] = between - began, time.process_time() - between
    milliseconds = seconds * 1e3 / (2 * GROUP * len(CONFIG.levels))
    median_ours, median_reference = np.median(milliseconds, 1).mean(1)
    ours, reference = milliseconds.min(1).mean(1)
    print(f"ms per view and core, median of rounds: ours {median_ours:.2f}, reference {median_reference:.2f}")
    print(f"ms per view and core, least of rounds: ours {ours:.2f}, reference {reference:.2f}")
    print(f"views_2d {reference / ours:.2f}")


if __name__ == "__main__":
    main()
