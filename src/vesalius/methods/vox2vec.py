"""vox2vec: every voxel gets a vector, alike in two patches that show it and unlike those of all other voxels.

Goncharov, Soboleva, Kurmukov, Pisov, Belyaev: "vox2vec: A Framework for Self-supervised Contrastive Learning of Voxel-Level
Representations in Medical Images", MICCAI 2023 (arXiv 2307.14725). In the paper's letters:

    for n volumes:                                         (different ones: negatives come from other bodies too)
        two patches that both hold a voxel of the body, at random places; m of the body's voxels that are in both
        each patch blurred or sharpened, noised, windowed  (no flip, scale or turn: place and size say what a voxel is)
    h_ij = features of voxel j in view i at all levels of the pyramid, joined
    z_ij = g(h_ij), unit length                            (g: Linear, BN, ReLU, twice, Linear; each view on its own)
    L = mean over i, j of -log e^(z_1j.z_2j/tau) / (sum over all voxels of both views but z_ij of e^(z_ij.z/tau))
    step

Shapes: patches (n, C, *S), voxels (n, m, ndim) of which `count` (n,) are true, N = sum of counts, h (N, 1008), z (N, 128).

DIFFERENCES between the paper and the reference code (neuro-ml/vox2vec), and what is done here:
  * Paper: n = 10 different volumes, m = 1000. Code: 10 pairs of patches from one volume, at most 1024 voxels each. The
    paper's is the default, since negatives across bodies define the method; the code's is pairs_per_volume 10, voxels 1024,
    and a batch of 1.
  * The paper's loss is a sum over voxels and views, the code's their mean; the mean, so that the norm at which gradients are
    clipped does not depend on m. No option: but for that, Adam's steps are the same.
  * The code's comments speak of rescaling and rotation; neither it nor the paper does any, and neither is done here.
  * Paper and code: voxels of 1 x 1 x 2 mm. Here coarser ones stay as they are, since interpolation adds no detail, unless
    `--upsample` is set. Finer ones are averaged under a triangle as wide as the new voxel, so that nothing aliases (code:
    plain linear interpolation). No option: prepared volumes are shared by all methods.
  * The code drops volumes that are smaller than the patch: `least_filled` 1. Here those with a quarter of it or more along
    each side are padded with air, and an alarm says so.
  * Paper and code: one GPU. On several processes, loss and batch norm are of all their volumes, as on one (`groups`).
  * The code is in fp32. Here bf16 where the machine is fast at it, unless `--precision fp32` is set.
  * A tenth of the patients is held out, and the encoder of their least loss is kept; the paper's is that of batch 100,000:
    `--holdout 0`, or stage0.safetensors.
  * Heads are probed beside only where masks are given (`--probe.data`). Fine-tuning is under the paper's non-linear head
    (code: `--head linear`) and at its rates (the code's ramp is broken); Dice is within the body: evaluate/patches.py.
  * The paper's vox2vec-UNet was not released; here it is `--backbone fpn-finest`.
  * The pyramid may be any backbone's. In 2-D (no reference) a patch has the first two sides of `patch`, and an image in 0..1
    is augmented as if it spanned the widest window; without a body mask every pixel is body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vesalius.errors import DataError, SettingError
from vesalius.losses.collapse import effective_rank, spread
from vesalius.losses.info_nce import LEAST_TAU, nt_xent
from vesalius.methods.step import Progress, Step
from vesalius.models import norm, ranks
from vesalius.models.voxels import Projector, at_voxels
from vesalius.settings import ascending, least, within
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.hounsfield import BlurOrSharpen, InHounsfield, Noise, Window, widest
from vesalius.views.overlap import overlapping_pair

# Of the run: P, n = 10, 100K batches, Adam without decay at a constant rate; C, the clipped norm, and the body at voxels of
# 1 x 1 x 2 mm, to which coarser ones come by --upsample alone.
DEFAULTS: dict[str, Any] = {
    "backbone": "fpn",
    "ndim": 3,
    "in_channels": 1,
    "spacing": (1.0, 1.0, 2.0),
    "body": True,
    "batch": 10,
    "epochs": 100_000,
    "max_steps": 100_000,
    "optim": {"kind": "adamw", "lr": 3e-4, "weight_decay": 0.0, "schedule": "constant", "clip": 1.0},
}
LOOKED_AT = 1024  # voxels whose nearest match and whose spread are logged
LEAST_SIDE = 8  # of a patch: the filters' reach


@dataclass(frozen=True)
class Config:
    """vox2vec's settings, each with its source (C: reference code, P: paper)."""

    patch: tuple[int, ...] = (128, 128, 32)  # voxels along x, y, z; 2-D takes the first two: P
    voxels: int = 1000  # m, at most, of each pair of patches: P; C 1024
    pairs_per_volume: int = 1  # pairs of patches from each volume: P; C 10, of one volume
    blur: tuple[float, float] = (0.25, 1.5)  # sigma, voxels: C
    sharpen_blur: tuple[float, float] = (0.5, 1.0)  # sigma of the image that is sharpened, voxels: C
    sharpen: tuple[float, float] = (10.0, 30.0)  # alpha: C
    noise: tuple[float, float] = (0.0, 30.0)  # sigma, HU: C
    low: tuple[float, float] = (-1350.0, -1000.0)  # HU that becomes 0; its least is also the 0 of images in 0..1: C
    high: tuple[float, float] = (300.0, 1000.0)  # HU that becomes 1; its greatest is also the 1 of images in 0..1: C
    width: int = 128  # of z: C
    temperature: float = 0.1  # tau: C
    least_filled: float = 0.25  # of each of a patch's sides, by a volume; smaller ones are set aside: ours; C 1
    groups: int = 1  # batch-norm groups of the global batch in the pyramid: C, one GPU

    stages = 1

    def __post_init__(self) -> None:
        least(self, LEAST_SIDE, "patch", where="method.")
        least(self, 1, "voxels", "pairs_per_volume", "width", "groups", where="method.")
        least(self, LEAST_TAU, "temperature", where="method.")
        least(self, 0, "blur", "sharpen", "noise", where="method.")
        least(self, 0.1, "sharpen_blur", where="method.")
        within(self, 0, 1, "least_filled", where="method.")
        within(self, 0, widest(self.patch[:2]), "blur", "sharpen_blur", where="method.")  # across slices there is none
        ascending(self, "blur", "sharpen_blur", "sharpen", "noise", "low", "high", where="method.")
        if self.low[1] >= self.high[0]:
            raise SettingError("settings method.low and method.high overlap", remedy="Windows go from low to high HU.")

    @cached_property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """Applied to each view in this order, with the probabilities of C."""
        return (
            InHounsfield(self.low[0], self.high[1]),
            BlurOrSharpen(self.blur, self.sharpen_blur, self.sharpen),
            Noise(self.noise),
            Window(self.low, self.high),
        )


def crops(rng: np.random.Generator, scan: Any, config: Config, stage: int) -> dict[str, np.ndarray]:
    """On the host: P pairs of patches (P, 2, C, *S) in stored units, voxels that they share, and what will be done to them."""
    if scan.unit == "arbitrary":
        remedy = "Prepare them to HU or 0..1 first (the step ToUint8)."
        raise DataError("values on an arbitrary scale cannot be windowed", file=scan.path, remedy=remedy)
    row, ndim = config.augmentations, len(scan.shape)
    pairs = []
    for _ in range(config.pairs_per_volume):
        pair = overlapping_pair(rng, scan, config.patch[:ndim], config.voxels)
        pairs.append({**pair, "draw": np.stack([draw_all(row, rng, ndim) for _ in range(2)])})
    return {name: np.stack([pair[name] for pair in pairs]) for name in pairs[0]}


def augment(batch: Mapping[str, Tensor], config: Config, stage: int) -> dict[str, Tensor]:
    """On the device: x1, x2 (n, C, *S) in 0..1; v1, v2 (n, m, ndim), the first `count` (n,) of which are the same voxels."""
    pixels, draw = (batch[name].flatten(0, 2) for name in ("pixels", "draw"))
    x1, x2 = apply_all(config.augmentations, pixels, draw).view(-1, 2, *pixels.shape[1:]).unbind(1)
    v1, v2 = batch["voxels"].flatten(0, 1).unbind(1)
    return {"x1": x1, "x2": x2, "v1": v1, "v2": v2, "count": batch["count"].flatten(), "inside": batch["inside"]}


class Method(nn.Module):
    """A pyramid, and a projector on its voxels' vectors.

    A batch-norm group is an equal run of the global batch's pairs, the pairs of a volume in a row, and sees one view at a
    time: x1 and x2 are two forward passes. The projector always has one group, the voxels of all pairs: pairs share unequal
    numbers of them, and all are negatives of one another.
    """

    negatives_in_batch = True

    def __init__(self, backbone: Any, config: Config, seed: int = 0) -> None:
        super().__init__()
        if len(config.patch) < backbone.ndim:
            remedy = f"Give {backbone.ndim} sides, in voxels."
            raise SettingError(f"setting method.patch is {config.patch}", remedy=remedy)
        self.config = config
        self.backbone = backbone
        self.projector = Projector(sum(backbone.channels), config.width)
        norm.convert(self.backbone, config.groups)
        norm.convert(self.projector, 1)

    @property
    def encoder(self) -> nn.Module:
        """What is kept: the pyramid."""
        return self.backbone  # type: ignore[no-any-return]

    def forward(self, views: Mapping[str, Tensor], progress: Progress) -> Step:
        """The paper's steps in the paper's order."""
        true = torch.arange(views["v1"].shape[1], device=views["count"].device) < views["count"][:, None]
        h1, h2 = (self.vectors(views[x], views[v])[true] for x, v in (("x1", "v1"), ("x2", "v2")))
        z1, z2 = self.projector(h1), self.projector(h2)
        loss = nt_xent(z1, z2, self.config.temperature, ranks)
        log: dict[str, Tensor] = {}
        if progress.logging:
            some = z1.detach()[:: max(1, len(z1) // LOOKED_AT)]
            log = {"spread": spread(some), "effective_rank": effective_rank(some)}
            log["accuracy"] = nearest_match(z1.detach(), z2.detach())
            log |= {"voxels": views["count"].float().mean(), "padding": 1 - views["inside"].mean()}
        return Step(loss, log)

    def vectors(self, x: Tensor, voxels: Tensor) -> Tensor:
        """Images (n, C, *S) in 0..1 and (n, m, ndim) voxels -> (n, m, sum of channels)."""
        return at_voxels(self.backbone(x), self.backbone.strides, voxels.long())

    def after_update(self, carries: Sequence[Any]) -> None:
        """Nothing follows: there is one network, and no bank."""

    def check(self, batch: int, processes: int) -> None:
        """SettingError, before any work: batch-norm groups that do not fit, or one cell alone at the coarsest level."""
        patch, coarsest = self.config.patch[: self.backbone.ndim], max(self.backbone.strides)
        pairs = batch * self.config.pairs_per_volume
        if self.config.groups > 1:  # one may be a single pair, of many cells
            norm.check(self.config.groups, pairs // processes, processes)
        if pairs * prod(-(-side // coarsest) for side in patch) < 2:
            reason = f"a batch has one cell at the coarsest level, whose stride is {coarsest} voxels"
            raise SettingError(reason, remedy="Raise batch or method.patch, or take a backbone of fewer levels.")


def nearest_match(z1: Tensor, z2: Tensor) -> Tensor:
    """(N, d) unit vectors, rows paired -> scalar share of (some) voxels whose own vector is the nearest of the other view."""
    chosen = torch.arange(0, len(z1), max(1, len(z1) // LOOKED_AT), device=z1.device)
    return ((z1[chosen] @ z2.T).argmax(1) == chosen).float().mean()


def check_scan(shape: tuple[int, ...], config: Config) -> None:
    """DataError, before any work, where an image fills less than `least_filled` of a side: the rest would be padding."""
    patch, share = config.patch[: len(shape)], config.least_filled
    if any(side < share * whole for side, whole in zip(shape, patch, strict=False)):
        sides, asked = (" x ".join(map(str, numbers)) for numbers in (shape, patch))
        remedy = "Lower method.patch, or leave the image out."
        raise DataError(f"{sides} voxels fill less than {share:.0%} of a side of a patch of {asked}", remedy=remedy)


def remark(shapes: Sequence[tuple[int, ...]], config: Config) -> str:
    """What should be known of the images before the first step; "" for nothing."""
    short = [s for s in shapes if any(side < whole for side, whole in zip(s, config.patch, strict=False))]
    asked = " x ".join(map(str, config.patch[: len(shapes[0])]))
    return f"{len(short)} of {len(shapes)} images are shorter than a patch of {asked}: padded with air" if short else ""


def alarms(log: Mapping[str, float], config: Config) -> list[str]:
    """What a user should know now, and what to do."""
    found = []
    if log.get("spread", 1.0) < 0.2:
        state = f"embeddings spread {log['spread']:.2f} of 1, effective rank {log['effective_rank']:.1f}"
        found.append(f"collapse: {state}; lower optim.lr or warm up; is the data all alike?")
    if log.get("padding", 0.0) > 0:
        what = f"{log['padding']:.0%} of the patches lies out of volumes that are smaller, and is padded with air"
        found.append(f"padded: {what}; lower method.patch if that is much")
    return found
