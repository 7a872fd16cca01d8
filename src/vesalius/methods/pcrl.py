"""PCRL v1: compare two views of a scan, and restore each, transformed or mixed, from features that know which.

Zhou, Lu, Yang, Han, Yu: "Preservational Learning Improves Self-supervised Medical Image Models by Reconstructing Diverse
Contexts", ICCV 2021 (arXiv 2109.04379). In letters:

    f, f' = a U-Net's way down, and its slow copy; U = a way up, with skips; a bank of keys, as MoCo's
    y1, y2 = two crops of a scan; x_i = y_i turned, flipped, distorted
    a_i = a flip along each axis and a turn by quarters; T(a) does it, and g(a) in 0..1 weighs the coarsest map's channels
    alpha, alpha', lam = max(u, 1 - u) with u ~ U(0, 1)                 (Beta(1, 1); each one number a step)
    E, q = f(x1);  E', k = f'(x2)                                       (maps, a vector; f' without gradient)
    R_a = U(E g(a1))                                          for  T(a1) x1
    R_b = U(alpha E g(a1) + (1 - alpha) E' g(a2))             for  alpha T(a1) x1 + (1 - alpha) T(a2) x2
    v^ = lam v + (1 - lam) v[p] for v = x1, x2, y1, y2, k               (p: a shuffle of the batch)
    H, q^ = f(x1^);  H', k' = f'(x2^)
    R_c = U(H)                                                for  y1^
    R_d = U(alpha' H + (1 - alpha') H')                       for  alpha' y1^ + (1 - alpha') y2^
    L = [NCE(q, k) + NCE(q^, k') + NCE(q^, k^)] / 3 + [MSE of R_a, R_b, R_c, R_d] / 4
    step on f, g, U; f' follows f: momentum m; k enters the bank, the oldest keys leave

Shapes: x, y (B, C, *S); a (B, ndim + 4); q, k (B, d), of unit length in NCE; bank (K, d). Maps are mixed at all levels.

DIFFERENCES from the reference code (Luchixiang/PCRL; itself "improved" over the paper, and known here as a list of facts):
  * alpha, alpha', lam, p and the shuffles that batch norm of f' wants are counted from (seed, stage, step): a run that is
    stopped goes on as it would have, and several processes do what one would. So p runs over the batch of all processes.
  * Which keys enter the bank is not sure in the code. Here k alone, once a step: a mixed key is of no one image.
  * HU and grey values become 0..1 as for all encoders here, and views are clipped to it. In 2-D what is restored is the image
    less its mean, over its deviation; in 3-D 0..1 through a sigmoid.
  * Cut-outs are one grey, ImageNet's mean, in all channels.
  * 3-D: crops as PCRLv2's, and scans shorter than a crop are shown whole; probabilities of shuffling and painting are those
    of Models Genesis, which shuffles overlapping windows one after the other, and here windows that tile the image.
  * What is nearly all air is cut anew (`tissue`).
  * The way down is kept, and transfer adds a fresh way up.

--ndim 3 brings the 3-D defaults of the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.losses.collapse import effective_rank, spread
from vesalius.losses.info_nce import LEAST_TAU, instance_accuracy, pruned_info_nce
from vesalius.losses.restore import squared_error
from vesalius.methods.pcrlv2 import VOLUMES as VOLUMES
from vesalius.methods.step import Progress, Step
from vesalius.models import memory_bank, norm
from vesalius.models.backbone import standardise, unstandardise
from vesalius.models.context import Gate, WayDown, WayUp, mixed, unit
from vesalius.models.ema import follow, slow_copy
from vesalius.models.memory_bank import MemoryBank
from vesalius.models.norm import shuffle, unshuffle
from vesalius.models.towers import permutation_of_batch
from vesalius.settings import ascending, least, within
from vesalius.space.box import Box
from vesalius.views import nested
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.distort import AxisBlur
from vesalius.views.hounsfield import widest
from vesalius.views.intensity import ColorJitter, GaussianBlur, RandomGrayscale, ToUnit
from vesalius.views.patches import GREY, CutOut, LocalShuffle, Paint
from vesalius.views.spatial import Affine, HorizontalFlip, Rotation
from vesalius.views.turns import FlipsAndTurn, as_vector
from vesalius.views.view import relative

# Of the run: C.
DEFAULTS: dict[str, Any] = {
    "backbone": "resnet18",
    "epochs": 240,
    "batch": 64,
    "optim": {"kind": "sgd", "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4, "schedule": "cosine"},
}
LEAST_SIDE = 8  # of a view, voxels: the blur's reach
TURN = FlipsAndTurn()
SHARES, PARTNERS, KEYS, MIXED_KEYS = range(2**31, 2**31 + 4)  # counters of a step's draws, where no sample is counted
Numbers = NDArray[Any]
Row = tuple[Augmentation, ...]


@dataclass(frozen=True)
class Config:
    """PCRL's settings, each with its source (C: reference code; G: Models Genesis)."""

    size: int = 224  # side of a view in 2-D, voxels: C
    patch: tuple[int, int, int] = (64, 64, 32)  # sides of a view in 3-D; the first two are equal: C
    scale: tuple[float, float] = (0.2, 1.0)  # 2-D, share of the image in a crop: C
    sizes: tuple[tuple[int, int, int], ...] = nested.LARGE  # 3-D, of crops, voxels: PCRLv2's
    margin: tuple[int, int, int] = (70, 70, 15)  # 3-D, at the scan's border without crops, voxels: PCRLv2's
    least_iou: float = 0.3  # 3-D, of the two crops, at least: PCRLv2's
    tissue: tuple[float, float] = (0.05, 1.0)  # share of a crop that is not air: ours
    flip: float = 0.5  # probability: C
    rotation: float = 10.0  # degrees either way: C
    zoom: tuple[float, float] = (0.9, 1.1)  # 3-D, of each axis: C
    grayscale: float = 0.2  # 2-D, probability: C
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.4)  # 2-D, always: C
    blur: tuple[float, float] = (0.1, 2.0)  # 2-D, sigma, voxels, in half of the views: C
    axis_blur: tuple[float, float] = (0.0, 2.0)  # 3-D, sigma of each axis, voxels: C
    cutouts: int = 3  # 2-D: C
    cutout: float = 0.143  # side, share of the view's: C, 32 of 224 voxels
    local_shuffle: float = 0.5  # 3-D, probability: G
    paint: float = 0.9  # 3-D, probability of painting: G
    outer: float = 0.8  # 3-D, of painting around, not inside: G
    width: int = 128  # d: C
    bank: int = 16_384  # K: C
    momentum: float = 0.999  # m: C
    temperature: float = 0.2  # tau: C
    groups: int = 4  # batch-norm groups of the global batch, keys shuffled among them: PCRLv2's, one a GPU

    stages = 1

    def __post_init__(self) -> None:
        least(self, LEAST_SIDE, "size", "patch", where="method.")
        least(self, 1, "width", "bank", "groups", where="method.")
        least(self, LEAST_TAU, "temperature", where="method.")
        least(self, 0, "margin", "rotation", "jitter", "blur", "axis_blur", "cutouts", where="method.")
        shares = ("scale", "tissue", "flip", "grayscale", "cutout", "local_shuffle", "paint", "outer", "momentum")
        within(self, 0, 1, *shares, where="method.")
        within(self, 0, 0.9, "least_iou", where="method.")  # near 1 there are hardly any
        within(self, 0.1, 10, "zoom", where="method.")
        within(self, 0, widest(self.patch), "axis_blur", where="method.")
        ascending(self, "scale", "tissue", "zoom", "blur", "axis_blur", where="method.")
        if self.patch[0] != self.patch[1]:
            remedy = "The first two sides must be equal: views are turned by quarters in their plane."
            raise SettingError(f"setting method.patch is {self.patch}", remedy=remedy)
        if not self.sizes or min(map(min, self.sizes)) < 1:
            raise SettingError(f"setting method.sizes is {self.sizes}", remedy="Give three sides, in voxels, for each.")

    def shape(self, ndim: int) -> tuple[int, ...]:
        """Sides of a view."""
        return self.patch if ndim == 3 else (self.size,) * ndim

    def rule(self, ndim: int) -> nested.Rule:
        """Which boxes are cut."""
        return nested.SubCrops(self.sizes, self.margin, self.least_iou) if ndim == 3 else nested.MultiCrop(self.scale)

    def distortions(self, ndim: int) -> Row:
        """What is done to a crop before the network sees it, in this order: C."""
        if ndim == 3:
            moves = HorizontalFlip(self.flip), Affine(self.zoom, self.rotation)
            return *moves, AxisBlur(self.axis_blur), LocalShuffle(p=self.local_shuffle), Paint(self.paint, self.outer)
        colour = RandomGrayscale(self.grayscale), GaussianBlur(self.blur, p=0.5), ColorJitter(*self.jitter, p=1)
        hole = (CutOut(round(self.cutout * self.size), self.cutouts, GREY),) if self.cutouts else ()
        return Rotation(self.rotation), HorizontalFlip(self.flip), *colour, *hole


def crops(rng: np.random.Generator, scan: Any, config: Config, stage: int) -> dict[str, Numbers]:
    """On the host: two crops (2, C, *S) in stored units, what will be done to each, and where the second, the key's, is."""
    nested.refuse_unrestorable(scan)
    ndim = len(scan.shape)
    shape, row = config.shape(ndim), (*config.distortions(ndim), TURN)
    cut = nested.nested_crops(rng, scan, config.rule(ndim), shape, shape, 0, config.tissue)
    second = cut["global_boxes"][1].tolist()
    return {
        "pixels": cut["globals"],
        "draw": np.stack([draw_all(row, rng, ndim) for _ in range(2)]),
        "image": np.array(scan.index),
        "box": relative(Box(tuple(second[:ndim]), tuple(second[ndim:])), scan.shape),
        "inside": cut["inside"],
    }


def augment(batch: Mapping[str, Tensor], config: Config, stage: int) -> dict[str, Tensor]:
    """On the device, in 0..1, (B, C, *S): x distorted, y as cut, t = T(a) x, of both views; a (B, ndim + 4)."""
    pixels, draw = (batch[name].transpose(0, 1).flatten(0, 1) for name in ("pixels", "draw"))
    ndim = pixels.ndim - 2
    distorting, turning = draw[:, : -TURN.width], draw[:, -TURN.width :]
    y = apply_all([ToUnit("HU" if pixels.dtype == torch.int16 else "0..1")], pixels, draw[:, :0])
    x = apply_all(config.distortions(ndim), y, distorting).clamp_(0, 1)
    found = {"x": x, "y": y, "t": TURN.apply(x, turning), "a": as_vector(turning, ndim)}
    views = {f"{name}{i}": half for name, both in found.items() for i, half in enumerate(both.chunk(2), 1)}
    return {**views, "image": batch["image"], "box": batch["box"], "inside": batch["inside"]}


class Method(nn.Module):
    """A way down and its slow copy, a bank, a gate, and a way up."""

    def __init__(self, backbone: Any, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.f = WayDown(backbone, config.width)
        self.slow = slow_copy(self.f)
        self.gate = Gate(backbone.ndim + 4, backbone.channels[-1])
        self.up = WayUp(backbone)
        self.bank = MemoryBank(config.bank, config.width, generator(seed), backbone.ndim)
        norm.convert(self, config.groups)

    @property
    def encoder(self) -> nn.Module:
        """What is kept: the student's way down."""
        return self.f.backbone  # type: ignore[no-any-return]

    def forward(self, views: Mapping[str, Tensor], progress: Progress) -> Step:
        """The paper's steps in the paper's order; nothing moves here."""
        x1, x2, y1, y2, t1, t2, a1, a2 = (views[name + i] for name in "xyta" for i in "12")
        # The loss of held-out images must not depend on the step's draws: it chooses the encoder.
        now = progress.seed, progress.stage, progress.step if self.training else 0
        alpha, other_alpha, lam = shares(now)
        e, q = self.f(x1)
        e_slow, k = self.slowly(x2, (*now, KEYS))
        errors = self.restored(self.gate(e, a1), self.gate(e_slow, a2), t1, t2, alpha)
        p = permutation_of_batch(x1, (*now, PARTNERS))
        x1_, x2_, y1_, y2_, k_ = mixed((x1, x2, y1, y2, k), [shuffle(v, p) for v in (x1, x2, y1, y2, k)], lam)
        h, q_ = self.f(x1_)
        h_slow, k_slow = self.slowly(x2_, (*now, MIXED_KEYS))
        errors += self.restored(h, h_slow, y1_, y2_, other_alpha)
        q, k, q_, k_, k_slow = map(unit, (q, k, q_, k_, k_slow))
        queries, keys = torch.cat([q, q_, q_]), torch.cat([k, k_slow, k_])
        comparison, _ = pruned_info_nce(queries, keys, self.bank.keys, None, self.config.temperature)
        restoration = torch.stack(errors).mean()
        log = {"comparison": comparison.detach(), "restoration": restoration.detach()}
        if progress.logging:
            log |= {"spread": spread(q.detach()), "effective_rank": effective_rank(q.detach())}
            log["accuracy"] = instance_accuracy(q, k, self.bank.keys)
            log["explained"] = 1 - errors[0].detach() / self.target(t1).float().var().clamp_min(1e-12)
            log["clamped"] = 1 - views["inside"].mean()
        return Step(comparison + restoration, log, carry=(k, views["image"], views["box"]))

    @torch.no_grad()
    def slowly(self, x: Tensor, seed: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
        """(B, C, *S) -> maps and vector (B, d) of the slow copy, shuffled among batch-norm groups as `seed` says."""
        if self.config.groups == 1 or not self.training:
            return self.slow(x)  # type: ignore[no-any-return]
        order = permutation_of_batch(x, seed)
        maps, z = self.slow(shuffle(x, order))
        return [unshuffle(each, order) for each in maps], unshuffle(z, order)

    def restored(
        self, own: Sequence[Tensor], other: Sequence[Tensor], y: Tensor, other_y: Tensor, share: float
    ) -> list[Tensor]:
        """Two squared errors: of y from own maps, and of y mixed with other_y from own maps mixed with others alike."""
        maps, images = (own, mixed(own, other, share)), (y, *mixed([y], [other_y], share))
        found = (self.up(each, y.shape[2:]) for each in maps)
        return [squared_error(image, self.target(wanted)) for image, wanted in zip(found, images, strict=True)]

    def target(self, y: Tensor) -> Tensor:
        """(B, C, *S) in 0..1 -> what the way up should make of it."""
        backbone: Any = self.encoder
        return standardise(y, backbone.mean, backbone.std) if backbone.ndim == 2 else y

    def after_update(self, carries: Sequence[Any]) -> None:
        """The slow copy follows; the keys enter the bank."""
        follow(self.slow, self.f, self.config.momentum)
        for k, image, box in carries:
            self.bank.push(k, image, box)

    def check(self, batch: int, processes: int) -> None:
        """SettingError, before any work, where bank or batch-norm groups do not fit the global batch."""
        memory_bank.check(self.config.bank, batch)
        norm.check(self.config.groups, batch // processes, processes)


def pictures(method: Method, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image as cut, distorted, turned as the gate is told, and restored so: (B, C, *S) in 0..1."""
    maps, _ = method.f(views["x1"])
    t1 = views["t1"]
    restored = method.up(method.gate(maps, views["a1"]), t1.shape[2:])
    backbone: Any = method.encoder
    if backbone.ndim == 2:
        restored = unstandardise(restored, backbone.mean, backbone.std)
    return {"image": views["y1"], "distorted": views["x1"], "turned": t1, "restored": restored}


def shares(now: tuple[int, int, int]) -> tuple[float, float, float]:
    """alpha, alpha' and lam of a step, 1/2..1, drawn from (seed, stage, step) and so the same on every process."""
    u = generator(*now, SHARES).random(3).tolist()
    alpha, other_alpha, lam = (max(each, 1 - each) for each in u)
    return alpha, other_alpha, lam


def check_scan(shape: tuple[int, ...], config: Config) -> None:
    """DataError, before any work, where a side of the image is below a quarter of a view's: the rest would be guessed."""
    nested.refuse_small(shape, config.shape(len(shape)), f"method.{'patch' if len(shape) == 3 else 'size'}")


def alarms(log: Mapping[str, float], config: Config) -> list[str]:
    """What a user should know now, and what to do."""
    found = []
    if log.get("spread", 1.0) < 0.2:
        state = f"embeddings spread {log['spread']:.2f} of 1, effective rank {log['effective_rank']:.1f}"
        found.append(f"collapse: {state}; lower optim.lr, warm up, or lower momentum; is the data all alike?")
    return found + nested.shorter(log)
