"""Probing for masks: a linear or non-linear head on frozen features of every voxel (vox2vec, section on probing).

Goncharov et al., MICCAI 2023; methods section 2.2. The encoder sees each whole image once, resized to a square (cube) of
`size`; its pyramids are kept in memory as float16: 2 * sum(C_i * cells_i) bytes an image, which for ResNet-18 at 224 px is
2.4 MB, for ResNet-50 4.6 MB. Then heads train on them, as many as one likes. Logits, at the finest level's resolution, are
spread linearly to `size` and compared with the masks there: binary cross entropy plus soft Dice with squares.

DIFFERENCES from vox2vec, and why: whole images in place of patches around organs, since these are small here; cross entropy
over the whole image, since not every modality has a body mask; fewer steps by default, and no choice of the best step, which
needs validation patients; Dice of each image and structure, where the paper does not say over what it sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius import features
from vesalius.chance import generator
from vesalius.compute import device_of
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import segmentation
from vesalius.evaluate.outcome import Outcome
from vesalius.features.subjects import Subject
from vesalius.losses.dice import entropy_and_dice
from vesalius.models.heads import HEADS, Dense, Standardised, WithHead, dense_head, spread
from vesalius.progress import shower
from vesalius.settings import least

CHUNK = 16  # images that are fp32 and in memory at once, while features are computed


@dataclass(frozen=True)
class Config:
    """size: side at which the encoder sees images, px. head: linear or nonlinear. steps: of the head; vox2vec makes 45,000.

    lr: of Adam, constant: vox2vec's; for so few steps a linear head wants ten times that. batch: images a step, at most as
    many as are labelled. levels: of the pyramid that a linear head looks at; all if none is named. standardise: features are
    brought to mean 0 and deviation 1 over the labelled images, channel by channel (see `heads.Standardised`).
    """

    size: int = 224
    head: str = "linear"
    steps: int = 1000
    batch: int = 8
    lr: float = 3e-4
    levels: tuple[int, ...] = ()
    standardise: bool = True

    def __post_init__(self) -> None:
        least(self, 1, "size", "steps", "batch")
        least(self, 0, "lr")
        if self.head not in HEADS:
            raise SettingError(f"setting head is {self.head!r}", remedy=f"Choose one of {', '.join(HEADS)}.")


class Probe:
    """Frozen features of pool and test, computed once; a fresh head for every training."""

    def __init__(
        self, backbone: Any, pool: Sequence[Subject], test: Sequence[Subject], names: Sequence[str], config: Config
    ) -> None:
        """names: of structures. DataError: an image of the pool with none of them contoured, or features beyond float16."""
        self.backbone, self.test, self.config, self.outputs = backbone, test, config, len(names)
        self.device = device_of(backbone)
        every = [segmentation.labels([one], names, config.size) for one in pool]
        self.masks = torch.cat([masks for masks, _ in every]).half() if every else torch.zeros(0)
        self.known = torch.cat([known for _, known in every]) if every else torch.zeros(0)
        self.own, self.asked = frozen(backbone, pool, config.size), frozen(backbone, test, config.size)

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """A head trained on the images `own` of the pool. Its weights and batches follow from `seed`; it alone changes.

        The predictions are made as they are asked for, once.
        """
        head = self.fresh(seed)
        if isinstance(head, Standardised):
            head.fit([level[i : i + 1] for level in self.own] for i in own)
        self.train(head, own, seed)
        learned = sum(p.numel() for p in head.parameters())
        return Outcome(self.predict(head), learned, WithHead(self.backbone, head))

    def fresh(self, seed: int) -> Dense:
        """An untrained head: the same for every encoder of the same channels."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            known = self.config
            made = dense_head(known.head, self.backbone, self.outputs, known.levels, known.standardise)
        return made.to(self.device)

    def train(self, head: Dense, own: Sequence[int], seed: int) -> list[float]:
        """`head` learns in place; the loss of every step."""
        head.train()
        optimiser = torch.optim.Adam(head.parameters(), lr=self.config.lr)
        labelled, losses = torch.tensor(own), []
        for step in range(self.config.steps):
            order = generator(seed, step).permutation(len(labelled))[: self.config.batch]
            at = labelled[torch.from_numpy(order)]
            masks = self.masks[at].to(self.device).float()
            logits = spread(head(self.seen(at)), masks.shape[2:])
            loss = entropy_and_dice(logits, masks, self.known[at].to(self.device))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
        return losses

    def seen(self, at: Tensor) -> list[Tensor]:
        """(B,) indices into the pool -> their pyramid, fp32."""
        return [level.index_select(0, at).to(self.device).float() for level in self.own]

    def predict(self, head: Dense) -> Iterator[NDArray[np.float32]]:
        """Of each test subject, probabilities (K, *S) in its prepared image, as `segmentation.predict` brings them there."""
        for i, subject in enumerate(self.test):
            with features.evaluating(head):
                logits = head([level[i : i + 1].to(self.device).float() for level in self.asked])
                seen = spread(logits, (self.config.size,) * len(subject.shape))
                found = spread(seen, subject.shape)[0].float().sigmoid().cpu()
            yield found.numpy()


def frozen(backbone: Any, subjects: Sequence[Subject], size: int) -> list[Tensor]:
    """The pyramids of whole images at `size`: [(N, C_i, *S_i) float16, ...], finest first; [] of no subjects.

    DataError: features beyond what float16 holds, 65,504.
    """
    levels: list[Tensor] = []
    show = shower("computing features")
    for start in range(0, len(subjects), CHUNK):
        some = subjects[start : start + CHUNK]
        images = torch.stack([segmentation.resized(subject.image, size) for subject in some])
        found = [level.half() for level in features.dense(backbone, images)]
        for i, subject in enumerate(some):
            if not all(level[i].isfinite().all() for level in found):
                raise DataError(
                    "has features beyond 65,504", file=subject.id, remedy="Did the encoder's training fail?"
                )
        levels = levels or [level.new_empty(len(subjects), *level.shape[1:]) for level in found]
        for level, part in zip(levels, found, strict=True):
            level[start : start + len(some)] = part
        show(start + len(some), len(subjects))
    return levels
