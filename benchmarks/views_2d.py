"""Augmented views per second on one core: from the cache, against the reference from the file. Last line: `views_2d RATIO`.

Per item both take one of the 2**level parts (levels 0, 2, 4 in equal shares) and make two Adam views of 224 x 224 of it.
Reference: decode the file, then Pillow, one view at a time, to normalised float RGB. Ours: crops cut from the cache, grey
and one channel, then batches of 64 views augmented to float. Same images, one thread, alternating rounds; ours opens
every cached file anew at each item, as in a data set larger than what a worker keeps open. Floor: 8.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
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
LEVELS, SIZE, BATCH = (0, 2, 4), (224, 224), 64
ADAM: tuple[Augmentation, ...] = (ColorJitter(), GaussianBlur(), Rotation())


def our_views(scans: cache.Cache, seed: int) -> int:
    """Two views of every scan at every level; how many that were."""
    items = [(scan, level) for scan in scans for level in LEVELS]
    for start in range(0, len(items), BATCH // 2):
        cuts, params = [], []
        for i, (scan, level) in enumerate(items[start : start + BATCH // 2], start):
            rng = generator(seed, i)
            part = parts.part(Box.whole(scan.shape), level, int(rng.integers(2**level)))
            for _ in range(2):
                cuts.append(crops.cut(scan, crops.random_resized_box(rng, part), SIZE))
                params.append(draw_all(ADAM, rng, 2))
        x = apply_all((ToUnit(scan.unit), *ADAM), torch.from_numpy(np.stack(cuts)), torch.from_numpy(np.stack(params)))
        assert x.shape[1:] == (1, *SIZE)
    return 2 * len(items)


def reference_views(files: list[Path], seed: int, views: Callable[..., object]) -> int:
    rng = np.random.default_rng(seed)
    for file in files:
        for level in LEVELS:
            views(str(file), level, rng)
    return 2 * len(files) * len(LEVELS)


def main(images: int = 40, rounds: int = 7) -> None:
    if not IMAGES.is_dir():
        print("views_2d skipped: the radiographs and the reference are not in shared/ beside the checkout")
        return
    sys.path.insert(0, str(SHARED / "bench"))
    from reference import adam_views_from_file

    torch.set_num_threads(1)
    cache.HANDLES = 1
    dataset = open_dataset(str(IMAGES))
    ids = list(dataset.ids[:images])
    files = [path for path in map(dataset.path, ids) if path]
    seconds: dict[str, list[float]] = {"ours": [], "reference": []}
    with tempfile.TemporaryDirectory() as folder:
        scans = build(dataset, ids, RADIOGRAPH, Path(folder), workers=1).cache
        sides: dict[str, Callable[[int], int]] = {
            "ours": lambda seed: our_views(scans, seed),
            "reference": lambda seed: reference_views(files, seed, adam_views_from_file),
        }
        for seed in range(rounds):
            for name, side in sides.items():
                began = time.perf_counter()
                count = side(seed)
                seconds[name].append((time.perf_counter() - began) / count)
    ours, reference = (statistics.median(seconds[name][1:]) for name in ("ours", "reference"))
    print(
        f"ours {1 / ours:.0f} views/s ({ours * 1e3:.2f} ms), reference {1 / reference:.0f} ({reference * 1e3:.2f} ms)"
    )
    print(f"views_2d {reference / ours:.2f}")


if __name__ == "__main__":
    main()
