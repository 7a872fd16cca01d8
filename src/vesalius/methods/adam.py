"""Adam: learn anatomy from the whole to its parts, and never push like from like.

Hosseinzadeh Taher, Gotway, Liang: "Towards Foundation Models Learned from Anatomy in Medical Imaging via
Self-Supervision", MICCAI DART 2023 (arXiv 2309.15358). In the paper's letters:

    for n in levels, coarse to fine:                       (stages; the optimiser starts anew, towers and bank go on)
        x = one of the 2^n parts of image I                (AD, the anatomy decomposer: halve, halve again)
        x1, x2 = two augmented crops of x
        q = h(f_theta(x1)), k = h(f_xi(x2)), unit length   (xi follows theta: momentum m)
        S = bank vectors p_j with q . p_j >= gamma         (PP, the purposive pruner: likely the same anatomy)
        L = -log e^(q.k/tau) / (e^(q.k/tau) + sum over j not in S of e^(q.p_j/tau))
        step on theta; xi follows; k enters the bank, the oldest keys leave

Shapes: q, k (B, d); bank (K, d); images (B, C, *S).

DIFFERENCES from the reference code (MR-HosseinzadehTaher/Eden), and why:
  * Parts are cut by recursive halving as the paper says, 2^n for any n; the code cuts an n x n grid. Both agree at 0, 2, 4.
  * In 3-D (no reference) the halving alternates left-right, up-down, front-back.
  * Validation changes nothing here; in the code it feeds the bank and moves the slow copy.
  * The slow copy moves after the optimiser's step, not before the key's forward: the same sequence of values.
  * A grey image stays one channel until the network; saturation and hue do nothing to it, as they do nothing to grey RGB.
  * The pruner can wait until embeddings spread (`prune_from`), for small data; 0 is the paper's: at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vesalius.chance import generator
from vesalius.losses.collapse import effective_rank, spread
from vesalius.losses.info_nce import LEAST_TAU, instance_accuracy, pruned_info_nce
from vesalius.losses.pruner import same_part_share
from vesalius.methods.step import Progress, Step
from vesalius.models import memory_bank, norm
from vesalius.models.memory_bank import MemoryBank
from vesalius.models.towers import Towers
from vesalius.settings import ascending, least, within
from vesalius.space.box import Box
from vesalius.views.augment import Augmentation
from vesalius.views.intensity import ColorJitter, GaussianBlur
from vesalius.views.parts import check_granularity, part
from vesalius.views.spatial import Rotation
from vesalius.views.view import cut_pair, finish, relative

NOTICES = (
    "Adam: the reference code is licensed for non-commercial research; this is an independent implementation.",
    "A US patent (US-12639932-B2) is reported on the anatomy decomposer and the purposive pruner.",
)


@dataclass(frozen=True)
class Config:
    """Adam's settings, each with its source (C: reference code, P: paper)."""

    levels: tuple[int, ...] = (0, 2, 4)  # n of each stage: C run.sh; P "gradually up to 4"
    size: int = 224  # side of a view, voxels: C
    scale: tuple[float, float] = (0.2, 1.0)  # share of the part that a crop covers: C
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue: C
    blur: tuple[float, float] = (0.1, 2.0)  # sigma, voxels: C
    rotation: float = 30.0  # degrees either way: C
    width: int = 128  # d: C, as MoCo-v2
    bank: int = 65_536  # K: C
    momentum: float = 0.999  # m: C
    temperature: float = 0.2  # tau: C run.sh
    threshold: float = 0.8  # gamma: C
    prune_whole: bool = False  # prune at n = 0 too: P always, C not at 0
    prune_from: float = 0.0  # spread of the bank, 0..1, at which the pruner starts: ours, for small data
    head_norm: bool = False  # batch norm in the head, as MoCo-v3: ours, for small data
    groups: int = 4  # batch-norm groups of the global batch, keys shuffled among them: C, one a GPU

    def __post_init__(self) -> None:
        least(self, 1, "size", "width", "bank", "groups", where="method.")
        least(self, LEAST_TAU, "temperature", where="method.")
        least(self, 0, "levels", "jitter", "blur", "rotation", where="method.")
        within(self, 0, 1, "scale", "momentum", "prune_from", where="method.")
        within(self, -1.1, 1.1, "threshold", where="method.")  # a cosine; beyond 1 nothing is pruned
        ascending(self, "scale", "blur", where="method.")

    @property
    def stages(self) -> int:
        """One stage a level."""
        return len(self.levels)

    @cached_property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """Applied to each view in this order: C."""
        return ColorJitter(*self.jitter, p=0.8), GaussianBlur(self.blur, p=0.5), Rotation(self.rotation)


def crops(rng: np.random.Generator, scan: Any, config: Config, stage: int) -> dict[str, np.ndarray]:
    """On the host: two crops of one of the scan's 2^n parts, in stored units, and what will be done to them."""
    n = config.levels[stage]
    x = part(Box.whole(scan.shape), n, int(rng.integers(2**n)))
    pair = cut_pair(rng, scan, x, config.size, config.scale, config.augmentations)
    return {**pair, "image": np.array(scan.index), "part": relative(x, scan.shape)}


def augment(batch: Mapping[str, Tensor], config: Config, stage: int) -> dict[str, Tensor]:
    """On the device: x1, x2 (B, C, *S) in 0..1; image (B,) and part (B, 2 ndim) say what they show."""
    x1, x2 = finish(batch, config.augmentations)
    return {"x1": x1, "x2": x2, "image": batch["image"], "part": batch["part"]}


class Method(nn.Module):
    """Two towers and a bank."""

    def __init__(self, backbone: Any, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.towers = Towers(backbone, config.width, config.groups, config.head_norm)
        self.bank = MemoryBank(config.bank, config.width, generator(seed), backbone.ndim)
        self.pruning: Tensor
        self.register_buffer("pruning", torch.tensor(config.prune_from <= 0))

    @property
    def encoder(self) -> nn.Module:
        """What is kept: the backbone of f."""
        return self.towers.f.backbone  # type: ignore[no-any-return]

    def forward(self, views: Mapping[str, Tensor], progress: Progress) -> Step:
        """The paper's steps in the paper's order; nothing moves here."""
        c, n = self.config, self.config.levels[progress.stage]
        q = self.towers.query(views["x1"])
        k = self.towers.key(views["x2"], (progress.seed, progress.stage, progress.step))
        gamma = c.threshold if (n > 0 or c.prune_whole) and self.pruning else None
        loss, kept = pruned_info_nce(q, k, self.bank.keys, gamma, c.temperature)
        log: dict[str, Tensor] = {"pruned": 1 - kept.float().mean() / c.bank}
        if progress.logging:
            log |= {"spread": spread(q.detach()), "effective_rank": effective_rank(q.detach())}
            log["accuracy"] = instance_accuracy(q, k, self.bank.keys)
            boxes = views["part"] / 10_000, self.bank.box / 10_000
            log["alike"] = (q.detach() @ self.bank.keys.T >= c.threshold).float().mean()
            log["pruned_same_part"] = same_part_share(q.detach(), self.bank.keys, c.threshold, *boxes)
        return Step(loss, log, carry=(k, views["image"], views["part"]))

    def after_update(self, carries: Sequence[Any]) -> None:
        """xi follows theta; the keys enter the bank; the pruner starts once the bank has spread."""
        self.towers.follow(self.config.momentum)
        for k, image, box in carries:
            self.bank.push(k, image, box)
        if not self.pruning and self.bank.filled == self.config.bank:
            self.pruning.fill_(bool(spread(self.bank.keys) >= self.config.prune_from))

    def check(self, batch: int, processes: int) -> None:
        """SettingError, before any work, where bank or batch-norm groups do not fit the global batch."""
        memory_bank.check(self.config.bank, batch)
        norm.check(self.config.groups, batch // processes, processes)


def check_scan(shape: tuple[int, ...], config: Config) -> None:
    """DataError, before any work, where an image of `shape` is too small for the finest level: parts of 8 voxels."""
    check_granularity(shape, max(config.levels), 8, setting="method.levels")


def alarms(log: Mapping[str, float], config: Config) -> list[str]:
    """What a user should know now, and what to do."""
    found = []
    if log.get("spread", 1.0) < 0.2:
        advice = "lower optim.lr, warm up, or lower momentum; is the data all alike?"
        found.append(
            f"collapse: embeddings spread {log['spread']:.2f} of 1, effective rank {log['effective_rank']:.1f}; {advice}"
        )
    if log.get("pruned", 0.0) > 0.3 and "pruned_same_part" in log:
        share = (
            f"{log['pruned']:.0%} of negatives are pruned, of which {log['pruned_same_part']:.0%} show the same part"
        )
        found.append(f"pruner: {share}; raise threshold, or let it wait: prune_from 0.8")
    return found
