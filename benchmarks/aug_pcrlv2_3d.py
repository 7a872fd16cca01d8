"""PCRLv2's augmentations in 3-D, in a batch of 16, against torchio one crop at a time. Last line: `aug_pcrlv2_3d RATIO`.

An item is 2 large crops of 64 x 64 x 32 and 6 small ones of 16 x 16 x 16. Reference: torchio's transforms as the reference
code of PCRLv2 calls them, on float crops in 0..1: flip, affine (what comes out is the target), blur, noise, gamma, on large
crops a swap of 100 pairs of patches, z-normalisation. Ours: the same row, drawn and applied, from int16 HU as it is cut.
One thread, the same synthetic tissue, in the processor's seconds of this process. The sides take turns, ours with a batch of
16, torchio with 4 items of it, and the least of the rounds counts: others on the machine can only add to it. It ends with an
error where moments of what comes out differ: both make the same distribution. Floor: 15.

torchio is among the packages of `make test` alone: without it, this says that it is skipped.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vesalius.chance import generator
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.distort import AxisBlur, Gamma, ZNormalise
from vesalius.views.hounsfield import Noise
from vesalius.views.intensity import ToUnit
from vesalius.views.patches import SwapPatches
from vesalius.views.spatial import Affine, HorizontalFlip

BATCH, FEW, LARGE, SMALL = 16, 4, (2, 1, 64, 64, 32), (6, 1, 16, 16, 16)
PLACE: tuple[Augmentation, ...] = (HorizontalFlip(), Affine())
VALUES: tuple[Augmentation, ...] = (AxisBlur(), Noise((0.0, 0.25), p=1), Gamma())
ROWS = {"large": (*VALUES, SwapPatches(), ZNormalise()), "small": (*VALUES, ZNormalise())}
Crops = dict[str, np.ndarray]  # large (2, 1, 64, 64, 32), small (6, 1, 16, 16, 16), int16 HU
Views = dict[str, Tensor]


def crops(rng: np.random.Generator) -> Crops:
    """Smooth tissue with some texture, in air."""

    def tissue(shape: tuple[int, ...]) -> np.ndarray:
        coarse, fine = (gaussian_filter(rng.normal(size=shape), (0, 0, *(sigma,) * 3)) for sigma in (4, 1))
        smooth = 4000 * coarse + 300 * fine
        return np.asarray(np.where(smooth > -100, smooth, -900).clip(-1000, 1000), np.int16)

    return {"large": tissue(LARGE), "small": tissue(SMALL)}


def ours(items: Sequence[Crops], seed: int) -> tuple[Views, Views]:
    """Targets and views (B n, C, *S): drawn for one item after the other, applied to all."""
    drawn: dict[str, list[np.ndarray]] = {"large": [], "small": []}
    for i in range(len(items)):
        rng = generator(seed, i)
        for name, shape in (("large", LARGE), ("small", SMALL)):
            drawn[name] += [draw_all((*PLACE, *ROWS[name]), rng, 3) for _ in range(shape[0])]
    targets, views = {}, {}
    for name, row in ROWS.items():
        x = torch.from_numpy(np.concatenate([item[name] for item in items]))
        numbers = torch.from_numpy(np.stack(drawn[name]))
        width = sum(a.width for a in PLACE)
        targets[name] = apply_all((ToUnit("HU", (-1000, 1000)), *PLACE), x, numbers[:, :width])
        views[name] = apply_all(row, targets[name], numbers[:, width:])
    return targets, views


def reference() -> Callable[[Sequence[Crops]], tuple[Views, Views]]:
    """torchio's pipeline, crop by crop."""
    import torchio  # type: ignore[import-not-found,unused-ignore]

    place = torchio.Compose(
        [torchio.RandomFlip(axes=0, flip_probability=0.5), torchio.RandomAffine(scales=(0.9, 1.1), degrees=10)]
    )
    values: list[Any] = [
        torchio.RandomBlur((0, 2)),
        torchio.RandomNoise(0, (0, 0.25)),
        torchio.RandomGamma((-0.3, 0.3)),
    ]
    swap, last = torchio.RandomSwap(patch_size=(8, 4, 4), num_iterations=100), torchio.ZNormalization()
    rows = {"large": torchio.Compose([*values, swap, last]), "small": torchio.Compose([*values, last])}

    def apply(items: Sequence[Crops]) -> tuple[Views, Views]:
        targets, views = {}, {}
        for name, row in rows.items():
            unit = [(torch.from_numpy(crop).float() + 1000) / 2000 for item in items for crop in item[name]]
            targets[name] = torch.stack([place(crop) for crop in unit])
            views[name] = torch.stack([row(crop) for crop in targets[name]])
        return targets, views

    return apply


def moments(views: Views, targets: Views) -> dict[str, np.ndarray]:
    """Means over crops: mean, deviation and slopes along x, y, z of the target; skewness and slopes of the view."""
    found = {}
    for name, view in views.items():
        target = targets[name]
        slopes = [[image.diff(dim=axis).abs().mean() for axis in (2, 3, 4)] for image in (target, view)]
        spread = target.flatten(1).std(1).mean()
        found[name] = np.array([target.mean(), spread, *slopes[0], (view**3).mean(), *slopes[1]])
    return found


def main(rounds: int = 12) -> None:
    if find_spec("torchio") is None:
        print("aug_pcrlv2_3d skipped: torchio is not installed (pip install torchio)")
        return
    warnings.simplefilter("ignore")  # of torchio's imports
    torch.set_num_threads(1)
    torch.manual_seed(0)
    slow = reference()
    milliseconds = np.empty((2, rounds))
    found: list[list[dict[str, np.ndarray]]] = [[], []]
    ours([crops(generator(1))] * BATCH, 0), slow([crops(generator(1))])  # what is done once
    for turn in range(rounds):
        items = [crops(generator(turn, i)) for i in range(FEW)] * (BATCH // FEW)
        began = time.process_time()
        made = ours(items, turn)
        between = time.process_time()
        theirs = slow(items[:FEW])
        milliseconds[:, turn] = (between - began) * 1e3 / BATCH, (time.process_time() - between) * 1e3 / FEW
        for side, (targets, views) in zip(found, (made, theirs), strict=True):
            side.append(moments(views, targets))
    for name in ROWS:
        both = [np.mean([moment[name] for moment in side], 0) for side in found]
        for label, means in zip(("ours", "torchio"), both, strict=True):
            print(f"moments of {name} crops, {label:7}" + " ".join(f"{value:7.4f}" for value in means))
        np.testing.assert_allclose(both[0], both[1], rtol=0.1, atol=0.05)
    for word, (own, theirs) in (("least", milliseconds.min(1)), ("median", np.median(milliseconds, 1))):
        print(f"ms an item, {word} of rounds: ours {own:.2f}, torchio {theirs:.1f}, ratio {theirs / own:.1f}")
    least = milliseconds.min(1)
    print(f"aug_pcrlv2_3d {least[1] / least[0]:.1f}")


if __name__ == "__main__":
    main()
