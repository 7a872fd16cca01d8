"""Volumes at their own resolution, in patches: heads on frozen features, fine-tuning, from scratch (vox2vec).

Goncharov et al., MICCAI 2023; methods section 2.2. A step's patches come from one random volume; one structure is drawn for
the step, and half of the patches lie round a voxel of it, the others round any voxel of the body. Binary cross entropy within
the body plus soft Dice with squares; Adam at a constant 3e-4; fine-tuning leaves the encoder alone for a third of the steps,
then raises its rate from a tenth by doubling. Prediction slides a window of the patch's size over the volume, by default
pasting middles; outside of the body nothing is found.

DIFFERENCES: features of probes are standardised (`standardise`), and Dice, not only cross entropy, is of the body alone.
Fewer steps by default (45,000 need a GPU), and no choice of the best step, which needs validation patients. The
reference's rates of fine-tuning are broken (methods 2.3): the paper's are made here. A volume smaller than the patch is
padded with air. Structures that are unknown in a volume are never drawn there, and count nowhere.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vesalius import features
from vesalius.chance import generator
from vesalius.compute import device_of
from vesalius.errors import SettingError
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.schedule import learn, rates
from vesalius.evaluate.segmentation import contoured
from vesalius.evaluate.windows import slide
from vesalius.features.subjects import Subject
from vesalius.losses.dice import entropy_and_dice
from vesalius.models.decoder import UNet
from vesalius.models.fpn import FPN
from vesalius.models.heads import Standardised, WithHead, dense_head, spread
from vesalius.settings import least, within
from vesalius.space.box import Box
from vesalius.views.overlap import box_around

SOME = 16  # volumes that features are standardised by, where they are not computed beforehand
BEFORE = 2**31  # counter of the draws before the first step


@dataclass(frozen=True)
class Config:
    """patch: sides, voxels. head: what stands on the encoder; auto: vox2vec's non-linear head on a feature pyramid, whose
    maps have been brought together already, and on any other encoder a U-Net's way up. frozen: share of the steps in which
    it alone learns; 1: a probe. ramp: share of the steps, after these, in which the encoder's rate doubles from a tenth.
    near: share of patches round a voxel of the step's structure. blend, overlap: of the windows in prediction. whole: a
    probe's features are of whole volumes, computed once (see `whole`); patches and windows are cut from these. skips:
    connections into a U-Net's way up. levels: of the pyramid that a linear head looks at; all if none is named. standardise:
    a probe's features are brought to mean 0 and deviation 1 over the labelled volumes, channel by channel (see
    `heads.Standardised`). cosine: the rate falls to 0, where vox2vec's is constant: of few steps, the last ones then count
    for more than their own patches."""

    patch: tuple[int, ...] = (128, 128, 32)
    head: Literal["auto", "linear", "nonlinear", "unet"] = "auto"
    steps: int = 3000
    batch: int = 7
    lr: float = 3e-4
    frozen: float = 1 / 3
    ramp: float = 1200 / 45_000
    near: float = 0.5
    blend: str = "central"
    overlap: float = 0.5
    whole: bool = False
    skips: bool = True
    levels: tuple[int, ...] = ()
    standardise: bool = True
    cosine: bool = False

    def __post_init__(self) -> None:
        least(self, 1, "patch", "steps", "batch")
        least(self, 0, "lr", "frozen", "ramp", "near")
        within(self, 0, 0.99, "overlap")
        if not self.skips and self.head not in ("auto", "unet"):
            raise _no_skips(self.head)
        if self.whole and self.frozen < 1:
            reason = "features of whole volumes are computed once, and this encoder learns"
            raise SettingError(reason, remedy="Leave --whole out, or choose the protocol linear or nonlinear.")


class Patches:
    """Networks on copies of one backbone, each trained on patches of some of `pool`; its own weights never change."""

    def __init__(
        self, backbone: Any, pool: Sequence[Subject], test: Sequence[Subject], names: Sequence[str], config: Config
    ) -> None:
        self.backbone, self.pool, self.test, self.names, self.config = backbone, pool, test, names, config

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """Train on the volumes `own` of the pool; the head's first weights follow from `seed`, for every encoder."""
        network, labelled = built(self.backbone, len(self.names), self.config, seed), [self.pool[i] for i in own]
        if isinstance(head := getattr(network, "head", None), Standardised):
            head.fit(some_features(self.backbone, labelled, self.names, self.config, seed))
        train(network, labelled, self.names, self.config, seed)
        learned = network.parameters() if self.config.frozen < 1 else rest(network)
        found = predict(network, self.test, self.config)
        return Outcome(found, sum(p.numel() for p in learned), network)


def built(backbone: Any, outputs: int, config: Config, seed: int) -> Any:
    """A copy of `backbone` under a fresh head whose weights follow from `seed`: (B, C, *S) -> logits (B, K, *S).

    SettingError: batch norm would see one cell alone, or there is nothing for skips to be left out of.
    """
    sides, head = config.patch[: backbone.ndim], head_of(backbone, config)
    if head == "nonlinear" and config.batch * prod(-(-side // max(backbone.strides)) for side in sides) < 2:
        raise SettingError("a batch has one cell at the coarsest level", remedy="Raise --batch or --patch.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        own, device = copy.deepcopy(backbone), device_of(backbone)
        if head == "unet":
            return UNet(own, outputs, skips=config.skips).to(device)
        standardise = config.standardise and config.frozen >= 1
        return WithHead(own, dense_head(head, own, outputs, config.levels, standardise)).to(device)


def head_of(backbone: Any, config: Config) -> str:
    """What stands on `backbone`. SettingError: a head without skips is to do without them."""
    head = config.head if config.head != "auto" else "nonlinear" if isinstance(backbone, FPN) else "unet"
    if head != "unet" and not config.skips:
        raise _no_skips(head)
    return head


def _no_skips(head: str) -> SettingError:
    return SettingError(
        f"a head that is {head} has no skips to leave out", remedy="Leave out --no-skips, or --head unet."
    )


def train(network: Any, own: Sequence[Subject], names: Sequence[str], config: Config, seed: int) -> list[float]:
    """`network` learns in place; the loss of every step. Draws follow from (seed, step) alone.

    DataError: a volume with none of the structures contoured.
    """
    places, device = [voxels(subject, names) for subject in own], device_of(network)

    def now(step: int) -> tuple[float, float]:
        return rates(step, config.steps, config.lr, config.frozen, config.ramp, constant=not config.cosine)

    def loss(step: int) -> Tensor:
        rng = generator(seed, step)
        at = int(rng.integers(len(own)))
        images, masks, body, known = (x.to(device) for x in batch(rng, own[at], places[at], names, config))
        return entropy_and_dice(network(images), masks, known.expand(len(images), -1), body)

    return learn(network, network.backbone, config.steps, now, loss)


def batch(
    rng: np.random.Generator,
    subject: Subject,
    places: Mapping[str, NDArray[np.int64]],
    names: Sequence[str],
    config: Config,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Patches of one volume: images (B, C, *patch) in 0..1, masks (B, K, *patch), body (B, 1, *patch), known (1, K)."""
    patch, body = config.patch[: len(subject.shape)], subject.body
    cut = []
    for voxel in middles(rng, subject.shape, body, places, config):
        box = box_around(rng, voxel, subject.shape, patch)
        cut.append([padded(subject.crop(box), patch, subject.air), *answer(subject, body, names, box, patch)])
    images, masks, inside = (torch.stack(some) for some in zip(*cut, strict=True))
    return images, masks, inside, contoured(subject, names)[None]


def some_features(
    backbone: Any, own: Sequence[Subject], names: Sequence[str], config: Config, seed: int
) -> Iterator[Sequence[Tensor]]:
    """Pyramids of a step's patches of each volume, at most SOME: what features are standardised by."""
    for i, subject in enumerate(own[:SOME]):
        rng = generator(seed, i, BEFORE)
        images = batch(rng, subject, voxels(subject, names), names, config)[0]
        yield features.dense(backbone, images)


def middles(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    body: NDArray[np.bool_],
    places: Mapping[str, NDArray[np.int64]],
    config: Config,
) -> Iterator[tuple[int, ...]]:
    """A step's voxels, a patch each: of one structure, drawn for the step, or of the body.

    places: structure -> flat indices.
    """
    near = places[sorted(places)[int(rng.integers(len(places)))]]
    for _ in range(config.batch):
        some = rng.random() < config.near and len(near)
        flat = int(near[rng.integers(len(near))]) if some else _anywhere(rng, body)
        yield tuple(int(i) for i in np.unravel_index(flat, shape))


def answer(
    subject: Subject, body: NDArray[np.bool_], names: Sequence[str], box: Box, patch: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """What a network should find in `box`, and where that counts: masks (K, *patch), body (1, *patch)."""
    masks = torch.from_numpy(subject.planes(names, box)).float()
    return padded(masks, patch), padded(torch.from_numpy(body[box.slices])[None].float(), patch)


def predict(network: nn.Module, subjects: Sequence[Subject], config: Config) -> Iterator[NDArray[np.float32]]:
    """Of each subject, probabilities (K, *S) in its prepared image; 0 outside of the body, where that is known."""
    for subject in subjects:
        with features.evaluating(network):
            found = _logits(network, subject, config).float().sigmoid().cpu()
        yield np.asarray(found.numpy() * subject.body, np.float32)


def _logits(network: Any, subject: Subject, config: Config) -> Tensor:
    """(K, *S), in windows; or, where the head learned from pyramids of whole volumes, from such a pyramid."""
    device, image = device_of(network), subject.image
    if config.whole:
        pyramid = features.pyramid(network.backbone, image)
        return spread(network.head([level[None].to(device) for level in pyramid]), image.shape[1:])[0]
    sides, c = config.patch[: image.ndim - 1], config
    return slide(network, image.to(device), sides, blend=c.blend, overlap=c.overlap, fill=subject.air)


def voxels(subject: Subject, names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Structure -> flat indices of its voxels, of those that are known; at most a hundred thousand of each."""
    contoured(subject, names)
    mask, known = subject.mask, [name for name in names if name in subject.structures]
    found = {name: np.flatnonzero(mask[subject.structures.index(name)]) for name in known}
    return {name: at[:: max(1, -(-len(at) // 100_000))] for name, at in found.items()}


def _anywhere(rng: np.random.Generator, body: NDArray[np.bool_]) -> int:
    """Flat index of a voxel of the body, all equally likely: drawn until one is, for bodies fill most of their volume."""
    while True:
        flat = rng.integers(body.size, size=64)
        if len(hits := flat[body.reshape(-1)[flat]]):
            return int(hits[0])


def padded(part: Tensor, patch: tuple[int, ...], fill: float = 0.0) -> Tensor:
    """(C, *S) -> (C, *patch), `fill` behind its end."""
    short = (
        n for have, whole in zip(reversed(part.shape[1:]), reversed(patch), strict=True) for n in (0, whole - have)
    )
    return functional.pad(part, list(short), value=fill)


def rest(network: Any) -> Iterator[nn.Parameter]:
    """The weights of what stands on the backbone."""
    mine = {id(parameter) for parameter in network.backbone.parameters()}
    return (parameter for parameter in network.parameters() if id(parameter) not in mine)
