"""Augmented views per second on one core: from the cache, against the reference from the file. Last line: `views_2d RATIO`.

Per item both take one of the 2**level parts (levels 0, 2, 4 in equal shares) and make two Adam views of 224 x 224 of it.
Reference: decode the file, then Pillow, one view at a time, to normalised float RGB. Ours: crops cut from the cache, grey
and one channel, then 120 views at a time augmented to float. The same images, one thread, the sides alternating every 20
images, in the processor's seconds of this process (others may share the machine). Ours opens each cached file anew, as
in a data set larger than what a worker keeps open. Floor: 8.

The reference turns to the nearest pixel, ours bilinearly; the line before the last says what that costs.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from vesalius.chance import generator
from vesalius.data import cache
from vesalius.data.build import build
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import RADIOGRAPH
from vesalius.space.box import Box
from vesalius.views import crops, parts
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.intensity import ColorJitter, GaussianBlur, ToUnit
from vesalius.views.spatial import Rotation

SHARED = Path(__file__).resolve().parents[2] / "shared"
IMAGES = SHARED / "data" / "cxr" / "nih" / "images"
LEVELS, SIZE, GROUP = (0, 2, 4), (224, 224), 20
ADAM: tuple[Augmentation, ...] = (ToUnit(), ColorJitter(), GaussianBlur(), Rotation())
NEAREST: tuple[Augmentation, ...] = (*ADAM[:-1], Rotation(mode="nearest"))


def our_views(scans: Sequence[cache.CachedScan], seed: int, row: Sequence[Augmentation]) -> torch.Tensor:
    """(V, 1, 224, 224): two views of every scan at every level."""
    cuts, params = [], []
    for scan in scans:
        for level in LEVELS:
            rng = generator(seed, scan.index, level)
            part = parts.part(Box.whole(scan.shape), level, int(rng.integers(2**level)))
            boxes = [crops.random_resized_box(rng, part) for _ in range(2)]
            cuts += crops.cut_all(scan, boxes, SIZE)
            params += [draw_all(row, rng, 2) for _ in boxes]
    return apply_all(row, torch.from_numpy(np.stack(cuts)), torch.from_numpy(np.stack(params)))


def main(images: int = 40, rounds: int = 8) -> None:
    if not IMAGES.is_dir():
        print("views_2d skipped: the radiographs and the reference are not in shared/ beside the checkout")
        return
    sys.path.insert(0, str(SHARED / "bench"))
    from reference import adam_views_from_file

    torch.set_num_threads(1)
    cache.HANDLES = 1
    dataset = open_dataset(str(IMAGES))
    ids = list(dataset.ids[:images])
    seconds: dict[str, list[float]] = {"ours": [], "ours, nearest": [], "reference": []}
    with tempfile.TemporaryDirectory() as folder:
        scans = build(dataset, ids, RADIOGRAPH, Path(folder), workers=1).cache
        for turn in range(rounds * images // GROUP):
            some = slice(turn * GROUP % images, turn * GROUP % images + GROUP)
            files = [str(dataset.path(id)) for id in ids[some]]
            rng = np.random.default_rng(turn)
            sides: dict[str, Callable[[], object]] = {
                "ours": lambda some=some, turn=turn: our_views(scans[some], turn, ADAM),  # type: ignore[misc]
                "ours, nearest": lambda some=some, turn=turn: our_views(scans[some], turn, NEAREST),  # type: ignore[misc]
                "reference": lambda files=files, rng=rng: [  # type: ignore[misc]
                    adam_views_from_file(file, level, rng) for file in files for level in LEVELS
                ],
            }
            for name, side in sides.items():
                began = time.process_time()
                side()
                seconds[name].append((time.process_time() - began) / (2 * GROUP * len(LEVELS)))
    ours, nearest, reference = (statistics.median(spent[1:]) for spent in seconds.values())
    print(f"ms per view and core: ours {ours * 1e3:.2f}, reference {reference * 1e3:.2f}")
    print(f"rotating to the nearest pixel: ours {nearest * 1e3:.2f}, ratio {reference / nearest:.2f}")
    print(f"views_2d {reference / ours:.2f}")


if __name__ == "__main__":
    main()
