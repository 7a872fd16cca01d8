"""Fine-tuning for segmentation: a U-Net on the encoder, all weights learn (or the decoder first), soft Dice.

Adam, benchmark V1: U-Net, 224 px, Adam 1e-3, soft Dice over the flattened batch, light augmentation of light and place.
Images and masks are resized to squares (cubes) of `size`; probabilities are brought back to the prepared image, where Dice
is measured. DIFFERENCES: a number of steps in place of epochs with early stopping, so that runs with 3 and with 200 images
have the same budget and no validation patients are needed; validation there got random augmentation.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vesalius.chance import generator
from vesalius.compute import device_of
from vesalius.errors import DataError, SettingError
from vesalius.evaluate.augment import moved, which
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.schedule import learn, rates
from vesalius.features import evaluating
from vesalius.features.subjects import Subject
from vesalius.losses.dice import soft_dice
from vesalius.models.decoder import UNet
from vesalius.models.heads import spread
from vesalius.settings import least
from vesalius.space.box import Box
from vesalius.space.warp import about_centre, axis_rotation, inverse


@dataclass(frozen=True)
class Config:
    """size: side to which images are resized, px. window: side of the squares (cubes) cut from them, at random places, for
    training; 0: whole images. Prediction is of whole images. frozen: share of the steps in which only the decoder learns.
    ramp: share after these in which the backbone's rate rises. rotation (degrees), zoom (factor), shift (share of a side),
    light (factor): ends of the augmentation's ranges. skips: connections from the encoder into the decoder."""

    size: int = 224
    window: int = 0
    steps: int = 400
    batch: int = 8
    lr: float = 1e-3
    frozen: float = 0.0
    ramp: float = 0.0
    rotation: float = 10.0
    zoom: float = 1.15
    shift: float = 0.05
    light: float = 0.2
    skips: bool = True

    def __post_init__(self) -> None:
        least(self, 1, "size", "steps", "batch")
        least(self, 0, "window", "lr", "frozen", "ramp", "rotation", "shift", "light")
        if self.window > self.size:
            raise SettingError(f"window {self.window} of images of {self.size}", remedy="Give a smaller --window.")


@dataclass(frozen=True, eq=False)
class Samples:
    """images (N, C, *size) in 0..1; masks (N, K, *size) in 0..1; known (N, K)."""

    images: Tensor
    masks: Tensor
    known: Tensor


def samples(subjects: Sequence[Subject], structures: Sequence[str], size: int) -> Samples:
    """Subjects at the size of training. DataError: an image with none of the structures contoured."""
    masks, known = labels(subjects, structures, size)
    return Samples(torch.stack([resized(subject.image, size) for subject in subjects]), masks, known)


def labels(subjects: Sequence[Subject], structures: Sequence[str], size: int) -> tuple[Tensor, Tensor]:
    """masks (N, K, *size) in 0..1 and known (N, K). DataError as `samples`."""
    known = torch.stack([contoured(subject, structures) for subject in subjects])
    planes = (subject.planes(structures, Box.whole(subject.shape)) for subject in subjects)
    return torch.stack([resized(torch.from_numpy(some).float(), size) for some in planes]), known


def contoured(subject: Subject, structures: Sequence[str]) -> Tensor:
    """(K,): 1 where a structure was contoured, else 0. DataError: none of them was."""
    known = [float(name in subject.structures) for name in structures]
    if not any(known):
        raise DataError(f"has no mask of {', '.join(structures)}", file=subject.id, remedy="Leave it out.")
    return torch.tensor(known)


def resized(image: Tensor, size: int) -> Tensor:
    """(C, *S) -> (C, size, ...), antialiased in 2-D, linear in 3-D."""
    target = (size,) * (image.ndim - 1)
    if image.ndim == 3:
        return functional.interpolate(image[None], target, mode="bilinear", antialias=True)[0]
    return spread(image[None], target)[0]


def train(network: UNet, data: Samples, config: Config, seed: int) -> list[float]:
    """`network` learns in place; the loss of every step. Draws follow from (seed, step) alone."""

    device = device_of(network)

    def now(step: int) -> tuple[float, float]:
        return rates(step, config.steps, config.lr, config.frozen, config.ramp)

    def loss(step: int) -> Tensor:
        images, masks, known = (x.to(device) for x in batch(data, config, generator(seed, step)))
        return soft_dice(network(images), masks, known)

    return learn(network, network.backbone, config.steps, now, loss)


def batch(data: Samples, config: Config, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Images and masks moved alike, images lit differently: (B, C, *S), (B, K, *S), (B, K); S of `size`, or of `window`."""
    chosen = which(rng, len(data.images), config.batch)
    shape = tuple(data.images.shape[2:])
    moves = torch.stack([_grid_matrix(rng, shape, config) for _ in range(config.batch)])
    target = (config.window,) * len(shape) if config.window else shape
    if config.window:
        moves = torch.stack([_windowed(rng, move, config.window, shape) for move in moves])
    both = moved(torch.cat([data.images[chosen], data.masks[chosen]], 1), moves, target)
    channels = data.images.shape[1]
    light, contrast = (
        torch.from_numpy(rng.uniform(-config.light, config.light, (config.batch, *(1,) * (both.ndim - 1)))).float()
        for _ in range(2)
    )
    images = ((both[:, :channels] - 0.5) * (1 + contrast) + 0.5 + light / 2).clamp(0, 1)
    return images, both[:, channels:], data.known[chosen]


def _windowed(rng: np.random.Generator, move: Tensor, window: int, shape: tuple[int, ...]) -> Tensor:
    """`move` of a window of the result, at a random place inside it."""
    share = torch.tensor([window / side for side in reversed(shape)])
    middle = torch.from_numpy(rng.uniform(-1, 1, len(shape))).float() * (1 - share)
    return torch.cat([move[:, :-1] * share, (move[:, :-1] @ middle + move[:, -1])[:, None]], 1)


def _grid_matrix(rng: np.random.Generator, shape: tuple[int, ...], config: Config) -> Tensor:
    """(ndim, ndim + 1) for `affine_grid`: where each place of the result comes from, axes reversed, in -1..1."""
    ndim = len(shape)
    turn = axis_rotation(rng.uniform(-config.rotation, config.rotation), int(rng.integers(3)), ndim)
    zoom = config.zoom ** rng.uniform(-1, 1)
    back = inverse(about_centre(zoom * turn, rng.uniform(-1, 1, ndim) * config.shift * np.array(shape), shape))
    half = np.array(shape) / 2
    centre = (np.array(shape) - 1) / 2
    shift = (back[:, :-1] @ centre + back[:, -1] - centre) / half
    linear = back[:, :-1] * half[None] / half[:, None]
    matrix = np.concatenate([linear[::-1, ::-1], shift[::-1, None]], axis=1)
    return torch.from_numpy(matrix.copy()).float()


def predict(network: nn.Module, subjects: Sequence[Subject], size: int) -> Iterator[NDArray[np.float32]]:
    """Of each subject, probabilities (K, *S) in its prepared image."""
    device = device_of(network)
    for subject in subjects:
        with evaluating(network):
            logits = network(resized(subject.image, size)[None].to(device))
            found = spread(logits, subject.shape)[0].float().sigmoid().cpu()
        yield found.numpy()


class FineTuning:
    """U-Nets on copies of one backbone, each trained on some of `pool`; its own weights never change."""

    def __init__(
        self, backbone: Any, pool: Sequence[Subject], test: Sequence[Subject], names: Sequence[str], config: Config
    ) -> None:
        self.backbone, self.pool, self.test, self.names, self.config = backbone, pool, test, names, config

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """Train on the subjects `own` of the pool; the decoder's first weights follow from `seed`, for every encoder."""
        torch.manual_seed(seed)
        network = UNet(copy.deepcopy(self.backbone), len(self.names), skips=self.config.skips)
        network.to(device_of(self.backbone))
        data = samples([self.pool[i] for i in own], self.names, self.config.size)
        train(network, data, self.config, seed)
        learned = sum(p.numel() for p in network.parameters())
        return Outcome(predict(network, self.test, self.config.size), learned, network)
