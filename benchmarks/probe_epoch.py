"""An epoch of the linear head on cached features of ResNet-18, 64 images of 96 px. Last line: `probe_epoch RATIO`, at least 10.

Against the same epoch with the features of every batch computed anew; same head, batches and steps, and the losses agree.
The images are synthetic, their masks where they are bright.
"""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesalius import features, zoo
from vesalius.chance import generator
from vesalius.evaluate.dense import Config, Probe
from vesalius.evaluate.segmentation import resized
from vesalius.features.subjects import Subject

IMAGES, SIDE, BATCH = 64, 96, 8


class Recomputing(Probe):
    """A probe that asks the encoder again at every step."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.images = torch.stack([resized(subject.image, SIDE) for subject in given[1]])

    def seen(self, at: Tensor) -> list[Tensor]:
        """(B,) indices -> their pyramid."""
        return features.dense(self.backbone, self.images[at])


def subject(i: int) -> Subject:
    """Noise of two sizes, and a mask of what is brighter than its mean."""
    rng = generator(0, i)
    coarse = np.kron(rng.random((SIDE // 8, SIDE // 8)), np.ones((8, 8)))
    pixels = (200 * coarse + 55 * rng.random((SIDE, SIDE))).astype(np.uint8)[None]
    mask = np.packbits((pixels > pixels.mean())[None, 0], axis=0)
    return Subject(f"i{i}", f"p{i}", pixels, "0..1", {}, ("bright",), mask)


def epoch(probe: Probe) -> tuple[float, list[float]]:
    """Seconds, and the losses."""
    head = probe.fresh(0)
    begun = time.perf_counter()
    losses = probe.train(head, range(IMAGES), 0)
    return time.perf_counter() - begun, losses


def main() -> None:
    torch.manual_seed(0)
    config = Config(size=SIDE, head="linear", steps=IMAGES // BATCH, batch=BATCH)
    given: tuple[Any, ...] = (zoo.build("resnet18"), [subject(i) for i in range(IMAGES)], [], ("bright",), config)
    cached, recomputing = Probe(*given), Recomputing(*given)
    runs = [(epoch(cached), epoch(recomputing)) for _ in range(4)]
    (_, ours), (_, slow) = runs[0]
    assert np.allclose(ours, slow, rtol=1e-2)
    a, b = (min(run[i][0] for run in runs) for i in (0, 1))
    print(f"cached {1e3 * a:.0f} ms, recomputed {1e3 * b:.0f} ms, {torch.get_num_threads()} threads")
    print(f"probe_epoch {b / a:.1f}")


if __name__ == "__main__":
    main()
