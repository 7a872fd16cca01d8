"""Probing of volumes on pyramids of whole volumes, computed once: every head and every draw of patients reuses them.

Where a volume fits into memory, the encoder need not see it again for every step, as it must where patches are cut from the
image (`patches`; the paper's way). Heads then learn on patches cut from the pyramids, in the same way as there, and predict
from the whole pyramids: 2 * sum(C_i * cells_i) bytes a volume, in a file where the memory is too small.

DIFFERENCES from vox2vec: the zeros that pad a patch's border are not seen, neither in training nor in prediction; a patch
begins at a cell of the coarsest level, so that cells of all levels lie in it whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesalius import features
from vesalius.chance import generator
from vesalius.compute import device_of
from vesalius.data.shelf import Shelf
from vesalius.errors import SettingError
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.patches import Config, answer, built, middles, padded, rest, voxels
from vesalius.evaluate.schedule import learn, rates
from vesalius.evaluate.segmentation import contoured
from vesalius.features.subjects import Subject
from vesalius.losses.dice import entropy_and_dice
from vesalius.models.heads import Standardised, spread
from vesalius.progress import shower
from vesalius.space.box import Box

Pyramid = list[Tensor]  # (C_i, *S_i) float16, finest first


class Probe:
    """Frozen pyramids of pool and test; a fresh head for every training."""

    def __init__(
        self, backbone: Any, pool: Sequence[Subject], test: Sequence[Subject], names: Sequence[str], config: Config
    ) -> None:
        """names: of structures. DataError: features beyond float16. SettingError: a patch smaller than a cell."""
        self.backbone, self.pool, self.test, self.names, self.config = backbone, pool, test, names, config
        if any(side < max(backbone.strides) for side in config.patch):
            reason = (
                f"setting patch is {config.patch}, and a cell of the coarsest level has {max(backbone.strides)} voxels"
            )
            raise SettingError(reason, remedy="Give sides that are no shorter.")
        self.places = [voxels(subject, names) for subject in pool]
        self.own, self.asked = pyramids(backbone, pool), pyramids(backbone, test)

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """A head trained on the volumes `own` of the pool. Its weights and patches follow from `seed`; it alone changes."""
        network = built(self.backbone, len(self.names), self.config, seed)
        if isinstance(network.head, Standardised):
            network.head.fit([level[None] for level in self.own[i]] for i in own)
        self.train(network, own, seed)
        return Outcome(self.predict(network.head), sum(p.numel() for p in rest(network)), network)

    def train(self, network: Any, own: Sequence[int], seed: int) -> list[float]:
        """The head of `network` learns in place; the loss of every step."""
        config, device = self.config, device_of(network)

        def now(step: int) -> tuple[float, float]:
            return rates(step, config.steps, config.lr, frozen=1.0, constant=not config.cosine)

        def loss(step: int) -> Tensor:
            rng = generator(seed, step)
            at = own[int(rng.integers(len(own)))]
            cut, *answers = self.batch(rng, at)
            pyramid, (masks, body, known) = [level.to(device) for level in cut], (x.to(device) for x in answers)
            logits = spread(network.head(pyramid), masks.shape[2:])
            return entropy_and_dice(logits, masks, known.expand(len(masks), -1), body)

        return learn(network, network.backbone, config.steps, now, loss)

    def batch(self, rng: np.random.Generator, i: int) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Patches of volume `i` of the pool: pyramid [(B, C_i, *P_i), ...], and the rest as `patches.batch` gives it."""
        subject = self.pool[i]
        patch, body, coarsest = self.config.patch[: len(subject.shape)], subject.body, max(self.backbone.strides)
        cut, answers = [], []
        for voxel in middles(rng, subject.shape, body, self.places[i], self.config):
            each = zip(voxel, subject.shape, patch, strict=True)
            start = tuple(begin(rng, at, n, side, coarsest) for at, n, side in each)
            cut.append(part(self.own[i], self.backbone.strides, start, patch))
            stop = tuple(min(a + side, n) for a, side, n in zip(start, patch, subject.shape, strict=True))
            answers.append(answer(subject, body, self.names, Box(start, stop), patch))
        pyramid = [torch.stack(level) for level in zip(*cut, strict=True)]
        masks, inside = (torch.stack(some) for some in zip(*answers, strict=True))
        return pyramid, masks, inside, contoured(subject, self.names)[None]

    def predict(self, head: nn.Module) -> Iterator[NDArray[np.float32]]:
        """Of each test subject, probabilities (K, *S) in its prepared image; 0 outside of the body, where that is known."""
        device = device_of(head)
        for subject, pyramid in zip(self.test, self.asked, strict=True):
            with features.evaluating(head):
                logits = spread(head([level[None].to(device).float() for level in pyramid]), subject.shape)[0]
                found = logits.float().sigmoid().cpu()
            yield np.asarray(found.numpy() * subject.body, np.float32)


def pyramids(backbone: Any, subjects: Sequence[Subject]) -> list[Pyramid]:
    """Of each subject, float16; what the memory does not hold lies in a file. DataError: features beyond 65,504."""
    show, found, shelf = shower("computing features"), list[Pyramid](), Shelf()
    for done, subject in enumerate(subjects, 1):
        levels = features.pyramid(backbone, subject.image, dtype=torch.float16)
        found.append([torch.from_numpy(shelf.keep(level.numpy())) for level in levels])
        show(done, len(subjects))
    return found


def begin(rng: np.random.Generator, voxel: int, n: int, side: int, coarsest: int) -> int:
    """Along one axis of n voxels, where a patch of `side` begins that holds `voxel`: at any cell of the coarsest level that
    allows it, equally likely, of those from which the patch reaches the end at most once."""
    last = -(-max(0, n - side) // coarsest)
    low, high = -(-max(0, voxel - side + 1) // coarsest), min(voxel // coarsest, last)
    return int(rng.integers(min(low, high), high, endpoint=True)) * coarsest


def part(pyramid: Pyramid, strides: Sequence[int], start: Sequence[int], patch: Sequence[int]) -> list[Tensor]:
    """[(C_i, *P_i), ...] fp32: the cells of a patch that begins at voxel `start`, 0 beyond the volume's end."""
    found = []
    for level, stride in zip(pyramid, strides, strict=True):
        cells = tuple(-(-side // stride) for side in patch)
        here = tuple(slice(a // stride, a // stride + n) for a, n in zip(start, cells, strict=True))
        found.append(padded(level[(slice(None), *here)].float(), cells))
    return found
