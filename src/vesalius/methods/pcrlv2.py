"""PCRLv2: restore the pixels and compare the semantics, at every scale of a U-Net without skips.

Zhou, Lu, Chen, Yang, Yu: "A Unified Visual Information Preservation Framework for Self-supervised Pre-training in Medical
Image Analysis", TPAMI 2023 (arXiv 2301.00772). With D of two views a, b at scale s, in the letters of SimSiam:

    D(a, b; s) = -1/2 [cos(p_s^a, sg z_s^b) + cos(p_s^b, sg z_s^a)]      (z: pooled and normalised; p: a perceptron of z)

    g1, g2 = two large crops of a scan, l_1 .. l_L = small ones          (3-D: within the hull of g1 and g2, "sub-crop")
    y1 = g1 moved (flip, turn, scale); g1, g2, l = moved, then distorted (blur, noise, light, patches swapped or cut out)
    s ~ U(scales)
    L = MSE(final(g1), y1) + beta MSE(mid_s(g1), y1)                     (all passes the coarsest map: no skips)
        + D(g1, g2; s) + 1/(2L) sum over l, g of D(g, l; s')             (s' ~ U(scales), anew for every term)
    beta = (1 + cos(pi t)) / 2 at t of the run; step

Shapes: g (B, C, *S), l (B, L, C, *s), z and p (B, C_s). A perfect step has L = -2.

DIFFERENCES from the reference code (RL4M/PCRLv2), and why:
  * The abstract restores and compares on the whole pyramid, the code at one scale a step: the code's is the default, and
    `average` takes the mean over scales. The scale comes from (seed, stage, step), so that all processes have the same.
  * beta follows the steps done, not a hard-coded 240 epochs. There are 240, not 241: in the last rate and beta would be 0.
  * An epoch shows one pair of crops of each scan (code: 16 in 3-D, so 16 times the steps): for as many --epochs 3840.
  * Random weights. The code's 2-D encoder silently starts from ImageNet: here `--start` with an imported encoder.
  * HU become 0..1 as for all encoders here (-1350 to 1000; code: -1000 to 1000), and so views stay in 0..1: they are clipped
    after the noise, and not z-normalised (the code's 3-D), since what a frozen encoder sees later is not either.
  * On held-out images the loss is the restoration's alone, over all scales at beta 1/2: the comparison is at its least, too,
    where all images are alike. The encoder that is kept is the last (as the code's), not that of the least loss.
  * Running statistics of the norms are those of the large views: frozen encoders are shown no small ones (code: of all).
  * Noise of sigma 0.25 is of the HU window: 588 HU (code: 500). Cut-outs are ImageNet's mean grey (code: each channel's).
  * Small boxes stay in the hull (code: 3 voxels around it, out of the scan even). Scans shorter than a crop are shown whole.
  * The code's filter for lungs compares with the wrong volume and rejects next to nothing. Repaired, of the view that the
    network sees, it is --method.tissue 0 0.15; by default what is nearly all air is cut anew. No step is skipped for its loss.
  * The way down is kept, and transfer adds a way up with skips (the code keeps all of its 3-D network, and loads that half).
  * The error of pixels may be weighed (`pixels`). In 2-D it is of standardised images; of 0..1 it is some twenty times as
    small, and in short runs the comparison then drowns it.
  * 2-D networks restore the standardised image, 3-D ones 0..1 through a sigmoid, whichever the backbone: ResNet or plain.

--ndim 3 brings the 3-D defaults of the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.losses.collapse import effective_rank, own_and_others
from vesalius.losses.cosine import distance
from vesalius.losses.restore import beta, restoration, squared_error
from vesalius.methods.step import Progress, Step
from vesalius.models import norm
from vesalius.models.backbone import pool
from vesalius.models.scales import Scales
from vesalius.settings import ascending, least, within
from vesalius.views import nested
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.distort import AxisBlur, Gamma
from vesalius.views.hounsfield import Noise, widest
from vesalius.views.intensity import ColorJitter, GaussianBlur, RandomGrayscale, ToUnit
from vesalius.views.patches import GREY, CutOut, SwapPatches
from vesalius.views.spatial import Affine, HorizontalFlip, Rotation

# Of the run: C.
DEFAULTS: dict[str, Any] = {
    "backbone": "resnet18",
    "epochs": 240,
    "batch": 64,
    "optim": {"kind": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "schedule": "cosine"},
}
VOLUMES: dict[str, Any] = {  # over these
    "backbone": "unet",
    "in_channels": 1,
    "spacing": (1.0, 1.0, 1.0),
    "upsample": True,
    "batch": 32,
    "optim": {"lr": 1e-3},
}
FEW = 8  # images, of which the rank of features says something
LEAST_SIDE = 8  # of a view, voxels: the blur's reach
EVEN = 0.5  # beta where held-out images are watched: its mean over a run
KEEP = "last"  # encoder: see DIFFERENCES
CLOSE, APART = -0.5, 0.05  # alarm: comparison from which views count as alike, and the gap that tells images apart
SCALE = 2**31  # counter of the draw of scales, where no sample is counted
Numbers = NDArray[Any]
Row = tuple[Augmentation, ...]


@dataclass(frozen=True)
class Config:
    """PCRLv2's settings, each with its source (C: reference code; the paper's are not known)."""

    size: int = 224  # side of a large view in 2-D, voxels: C
    small_size: int = 96  # of a small one: C
    patch: tuple[int, int, int] = (64, 64, 32)  # sides of a large view in 3-D: C
    small_patch: tuple[int, int, int] = (16, 16, 16)  # of a small one: C
    small: int = 6  # L; 0: large views alone: C
    crop: Literal["auto", "multi", "sub"] = "auto"  # multi-crop in 2-D, sub-crop in 3-D: C
    scale: tuple[float, float] = (0.3, 1.0)  # multi-crop, share of the image in a large crop: C
    small_scale: tuple[float, float] = (0.05, 0.3)  # in a small one: C
    sizes: tuple[tuple[int, int, int], ...] = nested.LARGE  # sub-crop, large ones, voxels: C
    small_sizes: tuple[tuple[int, int, int], ...] = nested.SMALL  # small ones: C
    margin: tuple[int, int, int] = (70, 70, 15)  # sub-crop, at the scan's border without large ones, voxels: C
    least_iou: float = 0.3  # sub-crop, of the two large ones, at least: C
    tissue: tuple[float, float] = (0.05, 1.0)  # not air, share; at most: of large crops. C repaired: 0, 0.15
    flip: float = 0.5  # probability: C
    rotation: float = 10.0  # degrees either way: C
    zoom: tuple[float, float] = (0.9, 1.1)  # 3-D, of each axis: C
    grayscale: float = 0.2  # 2-D, probability: C
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.4)  # 2-D, always: C
    blur: tuple[float, float] = (0.1, 2.0)  # 2-D, sigma, voxels, in half of the views: C
    axis_blur: tuple[float, float] = (0.0, 2.0)  # 3-D, sigma of each axis, voxels: C
    noise: tuple[float, float] = (0.0, 0.25)  # 3-D, sigma: C
    gamma: float = 0.3  # 3-D, of the logarithm, either way: C
    cutouts: int = 3  # 2-D, large views alone: C
    cutout: float = 0.143  # side, share of the view's: C, 32 of 224 voxels
    swaps: int = 100  # 3-D, large views alone, patches of 8 x 4 x 4: C
    restore: bool = True  # False: comparison alone
    pixels: float = 1.0  # weight of the restoration: C
    compare: bool = True  # False: restoration alone
    scales: tuple[int, ...] = ()  # which of them, 0 the coarsest; none given: all: C
    average: bool = False  # the mean over scales in every step, as the abstract; C draws one
    skips: bool = False  # True: an ordinary U-Net in pretraining
    groups: int = 4  # batch-norm groups of the global batch: C, one a GPU

    stages = 1

    def __post_init__(self) -> None:
        least(self, LEAST_SIDE, "size", "small_size", "patch", "small_patch", where="method.")
        least(self, 1, "groups", where="method.")
        numbers = ("small", "margin", "rotation", "jitter", "blur", "axis_blur", "noise", "gamma", "cutouts", "swaps")
        least(self, 0, "scales", *numbers, where="method.")
        within(self, 0, 1, "scale", "small_scale", "tissue", "flip", "grayscale", "cutout", where="method.")
        within(self, 0, 0.9, "least_iou", where="method.")  # near 1 there are hardly any
        within(self, 0.1, 10, "zoom", where="method.")
        within(self, 0, widest(self.patch, self.small_patch), "axis_blur", where="method.")
        within(self, 1e-3, 1e3, "pixels", where="method.")
        pairs = ("scale", "small_scale", "tissue", "zoom", "blur", "axis_blur", "noise")
        ascending(self, *pairs, where="method.")
        if not (self.restore or self.compare):
            raise SettingError("settings method.restore and method.compare are off", remedy="One of them must learn.")
        for name in ("sizes", "small_sizes"):
            if not getattr(self, name) or min(map(min, getattr(self, name))) < 1:
                remedy = "Give three sides, in voxels, for each."
                raise SettingError(f"setting method.{name} is {getattr(self, name)}", remedy=remedy)

    def shapes(self, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sides of large and small views."""
        return (self.patch, self.small_patch) if ndim == 3 else ((self.size,) * ndim, (self.small_size,) * ndim)

    def rule(self, ndim: int) -> nested.Rule:
        """Which boxes are cut."""
        if self.crop == "sub" or (self.crop == "auto" and ndim == 3):
            return nested.SubCrops(self.sizes, self.margin, self.least_iou, self.small_sizes)
        return nested.MultiCrop(self.scale, self.small_scale)

    def moves(self, ndim: int) -> Row:
        """What is done to all views, and to what is restored: C."""
        if ndim == 2:
            return Rotation(self.rotation), HorizontalFlip(self.flip)
        return HorizontalFlip(self.flip), Affine(self.zoom, self.rotation)

    def distortions(self, ndim: int) -> Row:
        """What is done to all views, but not to what is restored: C."""
        if ndim == 2:
            blur = GaussianBlur(self.blur, p=0.5)
            return RandomGrayscale(self.grayscale), blur, ColorJitter(*self.jitter, p=1)
        return AxisBlur(self.axis_blur), Noise(self.noise, p=1), Gamma((-self.gamma, self.gamma))

    def hiding(self, ndim: int) -> Row:
        """What is done to large views alone: C."""
        if ndim == 2:
            return (CutOut(round(self.cutout * self.size), self.cutouts, GREY),) if self.cutouts else ()
        return (SwapPatches(times=self.swaps),) if self.swaps else ()


def crops(rng: np.random.Generator, scan: Any, config: Config, stage: int) -> dict[str, Numbers]:
    """On the host: large crops (2, C, *S) and small ones (L, C, *s) in stored units, and what will be done to each."""
    nested.refuse_unrestorable(scan)
    ndim, small = len(scan.shape), config.small if config.compare else 0
    shape, small_shape = config.shapes(ndim)
    cut = nested.nested_crops(rng, scan, config.rule(ndim), shape, small_shape, small, config.tissue)
    found = {name: cut[name] for name in ("globals", "locals", "inside")}
    row = (*config.moves(ndim), *config.distortions(ndim))
    for name, own, n in (("draw", (*row, *config.hiding(ndim)), 2), ("small_draw", row, small)):
        found[name] = np.zeros((n, sum(a.width for a in own)), np.float32)
        for i in range(n):
            found[name][i] = draw_all(own, rng, ndim)
    return found


def augment(batch: Mapping[str, Tensor], config: Config, stage: int) -> dict[str, Tensor]:
    """On the device, in 0..1: x1, x2 distorted, y1 what x1 was before (B, C, *S); small (B, L, C, *s); inside (B,)."""
    large, ndim = batch["globals"], batch["globals"].ndim - 3
    to_unit = ToUnit("HU" if large.dtype == torch.int16 else "0..1")
    moves, distortions, hiding = config.moves(ndim), config.distortions(ndim), config.hiding(ndim)
    draw = batch["draw"].flatten(0, 1)
    known = sum(a.width for a in moves)
    y = apply_all((to_unit, *moves), large.flatten(0, 1), draw[:, :known])
    x = apply_all((*distortions, *hiding), y, draw[:, known:]).clamp_(0, 1)
    row = (to_unit, *moves, *distortions)
    small = apply_all(row, batch["locals"].flatten(0, 1), batch["small_draw"].flatten(0, 1)).clamp_(0, 1)
    x1, x2 = x.view(large.shape).unbind(1)
    y1 = y.view(large.shape)[:, 0]
    return {"x1": x1, "x2": x2, "y1": y1, "small": small.view(batch["locals"].shape), "inside": batch["inside"]}


class Method(nn.Module):
    """A network with heads at every scale."""

    def __init__(self, backbone: Any, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        parts = {"skips": config.skips, "compare": config.compare, "restore": config.restore}
        self.network = Scales(backbone, config.scales, **parts)
        norm.convert(self, config.groups)

    @property
    def encoder(self) -> nn.Module:
        """What is kept: the way down."""
        return self.network.backbone  # type: ignore[no-any-return]

    def forward(self, views: Mapping[str, Tensor], progress: Progress) -> Step:
        """The paper's steps in the paper's order."""
        c, network, shares = self.config, self.network, self.shares(progress)
        g1, terms, log = network(views["x1"]), [], {}
        if c.restore:
            y1 = network.target(views["y1"])
            final, middle = network.restored(g1, np.flatnonzero(shares[:, 0]).tolist())
            weight = beta(progress.step / progress.steps) if self.training else EVEN
            error = restoration(final, middle, y1, weight)
            terms.append(c.pixels * error)
            log["restoration"] = error.detach()
            if progress.logging:
                log["explained"] = 1 - squared_error(final.detach(), y1) / y1.float().var().clamp_min(1e-12)
        if c.compare and (self.training or not c.restore):
            g2 = network(views["x2"])
            with norm.unrecorded(network):
                small = network(views["small"].flatten(0, 1)) if c.small else None  # one pass, sample after sample
            terms.append(self.compared(g1, g2, small, shares))
            log["comparison"] = terms[-1].detach()
            if progress.logging:
                log["own"], log["other"] = self.told_apart(g1, g2)
        if progress.logging:
            log["clamped"] = 1 - views["inside"].mean()
            if len(g1[0]) >= FEW:  # of fewer it says nothing: it is less than their number
                log["effective_rank"] = effective_rank(functional.normalize(pool([g1[0].detach()]), dim=1))
        return Step(torch.stack(terms).sum() + self.idle(shares), log)

    def shares(self, progress: Progress) -> Numbers:
        """(scales, 1 + 2 L): how much each scale counts in D(g1, g2) and in the restoration, and in each D(g, l).

        One scale a term, drawn from (seed, stage, step) and so the same on every process; or all of them alike, as where the
        loss of held-out images is watched: it must not depend on a draw.
        """
        n, terms = len(self.network.chosen), 1 + 2 * self.config.small
        if self.config.average or not self.training:
            return np.full((n, terms), 1 / n)
        rng = generator(progress.seed, progress.stage, progress.step, SCALE)
        return np.asarray(rng.integers(n, size=terms) == np.arange(n)[:, None], float)

    def compared(
        self, g1: Sequence[Tensor], g2: Sequence[Tensor], small: Sequence[Tensor] | None, shares: Numbers
    ) -> Tensor:
        """D(g1, g2) and the mean of D(g, l) over both g and all l, each at its scale: a scalar, -2 at best."""
        found = []
        for i, share in enumerate(shares):
            if not share.any():
                continue
            (z1, p1), (z2, p2) = (self.network.vectors(g, i) for g in (g1, g2))
            found.append(share[0] * distance(p1, z1, p2, z2))
            if small is not None:
                z, p = (v.view(len(z1), -1, v.shape[1]).transpose(0, 1) for v in self.network.vectors(small, i))
                large_z, large_p = (torch.stack(pair)[:, None] for pair in ((z1, z2), (p1, p2)))
                each = distance(large_p, large_z, p, z)  # (2, L)
                found.append((torch.from_numpy(share[1:]).to(each).view(each.shape) * each).mean())
        return torch.stack(found).sum()

    @torch.no_grad()
    def told_apart(self, g1: Sequence[Tensor], g2: Sequence[Tensor]) -> Tensor:
        """(2,): the mean over scales of cos(p1, z2) of the same image's views, and of different images'; of one process."""
        found = []
        for i in range(len(self.network.chosen)):
            with norm.unrecorded(self.network):
                (_, p1), (z2, _) = (self.network.vectors(g, i) for g in (g1, g2))
            found.append(own_and_others(p1, z2))
        return torch.stack(found).mean(0)

    def idle(self, shares: Numbers) -> Tensor | int:
        """0, with a gradient of 0 for every weight that this step does not use: DDP waits for the gradients of all."""
        network = self.network
        unused = [head for head, share in zip(network.comparisons, shares, strict=False) if not share.any()]
        unused += [head for head, share in zip(network.restorations, shares, strict=False) if not share[0]]
        unused += [] if self.config.restore else [network.decoder, network.backbone]  # an fpn's finest maps, with skips
        return 0 * sum(p.sum() for module in unused for p in module.parameters())

    def after_update(self, carries: Sequence[Any]) -> None:
        """Nothing follows: there is one network, and no bank."""

    def check(self, batch: int, processes: int) -> None:
        """SettingError, before any work, where batch-norm groups do not fit the global batch."""
        norm.check(self.config.groups, batch // processes, processes)


def pictures(method: Method, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image, distorted, and as each scale restores it, coarsest first: (B, C, *S) in 0..1; none without restoration."""
    if not method.config.restore:
        return {}
    network = method.network
    restored = network.pictures(views["x1"])
    names = [*(f"scale {s}" for s in network.chosen), "restored"]
    return {"image": views["y1"], "distorted": views["x1"], **dict(zip(names, restored, strict=True))}


def check_scan(shape: tuple[int, ...], config: Config) -> None:
    """DataError, before any work, where a side of the image is below a quarter of a large view's: the rest would be guessed."""
    nested.refuse_small(shape, config.shapes(len(shape))[0], f"method.{'patch' if len(shape) == 3 else 'size'}")


def alarms(log: Mapping[str, float], config: Config) -> list[str]:
    """What a user should know now, and what to do."""
    found = []
    if log.get("effective_rank", 2.0) < 1.2:
        state = f"features of a batch have effective rank {log['effective_rank']:.1f}"
        found.append(f"collapse: {state}; lower optim.lr or warm up; is the data all alike?")
    if "own" in log and log["comparison"] < CLOSE and log["own"] - log["other"] < APART:
        state = f"views of one image are as alike (cosine {log['own']:.2f}) as those of others ({log['other']:.2f})"
        remedy = "enlarge batch or method.pixels" if config.restore else "enlarge batch, or restore (method.restore)"
        found.append(f"alike: {state}; {remedy}; are the distortions too strong, are crops mostly air?")
    return found + nested.shorter(log)
