"""MoCo-v2: two augmented crops of an image agree, against a bank of the last keys of other images.

Chen, Fan, Girshick, He: "Improved Baselines with Momentum Contrastive Learning", 2020 (arXiv 2003.04297), on He et al.,
CVPR 2020 (arXiv 1911.05722). In the paper's letters:

    x_q, x_k = two augmented crops of image x
    q = f_q(x_q), k = f_k(x_k), unit length                (f_k follows f_q: momentum m; batch norm shuffled)
    L = -log e^(q.k/tau) / (e^(q.k/tau) + sum over the bank of e^(q.k_j/tau))
    step on f_q; f_k follows; k enters the bank, the oldest keys leave

Shapes: q, k (B, d); bank (K, d); images (B, C, *S).

DIFFERENCES from the reference code (facebookresearch/moco), and why:
  * `windows` (ours, a control for Adam): at stage s both crops come from a window of 1 / 2^n of the image at a random place,
    so that crops are as small as Adam's while no part of the body is special. (0,) is MoCo-v2 itself.
  * Horizontal flip and grayscale are MoCo-v2's; a flip makes left and right of a body alike: turn it off to keep them apart.
  * In 3-D (no reference) the flip and the window follow the left-right axis and the halving of Adam.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor, nn

from vesalius.chance import generator
from vesalius.losses.collapse import effective_rank, spread
from vesalius.losses.info_nce import LEAST_TAU, instance_accuracy, pruned_info_nce
from vesalius.methods.step import Progress, Step
from vesalius.models import memory_bank, norm
from vesalius.models.memory_bank import MemoryBank
from vesalius.models.towers import Towers
from vesalius.settings import ascending, least, within
from vesalius.space.box import Box
from vesalius.views.augment import Augmentation
from vesalius.views.intensity import ColorJitter, GaussianBlur, RandomGrayscale
from vesalius.views.parts import check_granularity, part
from vesalius.views.spatial import HorizontalFlip, Rotation
from vesalius.views.view import cut_pair, finish, relative


@dataclass(frozen=True)
class Config:
    """MoCo-v2's settings; sources: C reference code (main_moco.py, README of v2), P the papers."""

    windows: tuple[int, ...] = (0,)  # n of each stage: crops come from a random window of 1 / 2^n of the image; ours
    size: int = 224  # side of a view, voxels: C
    scale: tuple[float, float] = (0.2, 1.0)  # share of the window that a crop covers: C
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue: C
    grayscale: float = 0.2  # probability: C
    blur: tuple[float, float] = (0.1, 2.0)  # sigma, voxels: C
    flip: float = 0.5  # probability: C
    rotation: float = 0.0  # degrees either way: C none; Adam's is 30
    width: int = 128  # d: C
    bank: int = 65_536  # K: C
    momentum: float = 0.999  # m: C
    temperature: float = 0.2  # tau: C of v2
    head_norm: bool = False  # batch norm in the head, as MoCo-v3: ours, for small data
    groups: int = 8  # batch-norm groups of the global batch, keys shuffled among them: P, one a GPU

    def __post_init__(self) -> None:
        least(self, 1, "size", "width", "bank", "groups", where="method.")
        least(self, LEAST_TAU, "temperature", where="method.")
        least(self, 0, "windows", "jitter", "blur", "rotation", where="method.")
        within(self, 0, 1, "scale", "momentum", "grayscale", "flip", where="method.")
        ascending(self, "scale", "blur", where="method.")

    @property
    def stages(self) -> int:
        """One stage a window."""
        return len(self.windows)

    @cached_property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """Applied to each view in this order: C; a rotation of 0 is left out."""
        turn = (Rotation(self.rotation),) if self.rotation else ()
        jitter = ColorJitter(*self.jitter, p=0.8)
        return jitter, RandomGrayscale(self.grayscale), GaussianBlur(self.blur, p=0.5), HorizontalFlip(self.flip), *turn


def crops(rng: np.random.Generator, scan: Any, config: Config, stage: int) -> dict[str, np.ndarray]:
    """On the host: two crops of the scan (of a window of it), in stored units, and what will be done to them."""
    whole = Box.whole(scan.shape)
    x = whole.place(rng, part(whole, config.windows[stage], 0).shape)
    pair = cut_pair(rng, scan, x, config.size, config.scale, config.augmentations)
    return {**pair, "image": np.array(scan.index), "part": relative(x, scan.shape)}


def augment(batch: Mapping[str, Tensor], config: Config, stage: int) -> dict[str, Tensor]:
    """On the device: x_q, x_k (B, C, *S) in 0..1."""
    x_q, x_k = finish(batch, config.augmentations)
    return {"x_q": x_q, "x_k": x_k, "image": batch["image"], "part": batch["part"]}


class Method(nn.Module):
    """Two towers and a bank."""

    def __init__(self, backbone: Any, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.towers = Towers(backbone, config.width, config.groups, config.head_norm)
        self.bank = MemoryBank(config.bank, config.width, generator(seed), backbone.ndim)

    @property
    def encoder(self) -> nn.Module:
        """What is kept: the backbone of f_q."""
        return self.towers.f.backbone  # type: ignore[no-any-return]

    def forward(self, views: Mapping[str, Tensor], progress: Progress) -> Step:
        """The paper's steps in the paper's order; nothing moves here."""
        q = self.towers.query(views["x_q"])
        k = self.towers.key(views["x_k"], (progress.seed, progress.stage, progress.step))
        loss, _ = pruned_info_nce(q, k, self.bank.keys, None, self.config.temperature)
        log: dict[str, Tensor] = {}
        if progress.logging:
            log = {"spread": spread(q.detach()), "effective_rank": effective_rank(q.detach())}
            log["accuracy"] = instance_accuracy(q, k, self.bank.keys)
        return Step(loss, log, carry=(k, views["image"], views["part"]))

    def after_update(self, carries: Sequence[Any]) -> None:
        """f_k follows f_q; the keys enter the bank."""
        self.towers.follow(self.config.momentum)
        for k, image, box in carries:
            self.bank.push(k, image, box)

    def check(self, batch: int, processes: int) -> None:
        """SettingError, before any work, where bank or batch-norm groups do not fit the global batch."""
        memory_bank.check(self.config.bank, batch)
        norm.check(self.config.groups, batch // processes, processes)


def check_scan(shape: tuple[int, ...], config: Config) -> None:
    """DataError, before any work, where an image of `shape` is too small for the finest window: 8 voxels."""
    check_granularity(shape, max(config.windows), 8, setting="method.windows")


def alarms(log: Mapping[str, float], config: Config) -> list[str]:
    """What a user should know now, and what to do."""
    if log.get("spread", 1.0) < 0.2:
        advice = "lower optim.lr, warm up, or lower momentum; is the data all alike?"
        return [
            f"collapse: embeddings spread {log['spread']:.2f} of 1, effective rank {log['effective_rank']:.1f}; {advice}"
        ]
    return []
