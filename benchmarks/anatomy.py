"""All measures on 60 images against the forward passes alone. Last line: `anatomy RATIO`, at most 1.5.

ResNet-18, 60 synthetic radiographs of 512 px, the command's own settings but patches of 64 px (as the encoders in weights/),
one contestant, its rows and arrays written. The forward passes are timed within the same run.
"""

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from vesalius import results, zoo
from vesalius.anatomy.command import MEASURES, rows
from vesalius.anatomy.embedders import Array, embedder
from vesalius.anatomy.observe import Config, observe
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import steps_for
from vesalius.features.subjects import load


def main(images: int = 60) -> None:
    torch.manual_seed(0)
    through = embedder(zoo.build("resnet18").eval())
    forward = [0.0]

    def timed(patches: Tensor, places: Array) -> Tensor:
        begun = time.perf_counter()
        found = through(patches, places)
        forward[0] += time.perf_counter() - begun
        return found

    data = open_dataset(f"phantom:?bodies={images}&size=512")
    subjects = load(data, data.ids, steps_for(2, 512), b"key")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        seen = observe("it", timed, subjects, Config(size=64), data="phantom")
        looked = time.perf_counter() - begun
        for name in MEASURES:
            results.append(Path(folder) / results.FILE, rows(name, seen, Path(folder)))
    total = time.perf_counter() - begun
    print(f"forward {forward[0]:.1f} s, looking {looked:.1f} s, everything {total:.1f} s, {images} images")
    print(f"anatomy {total / forward[0]:.2f}")


if __name__ == "__main__":
    main()
