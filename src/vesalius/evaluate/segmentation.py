"""Fine-tuning for segmentation: a U-Net on the encoder, all weights learn (or the decoder first), soft Dice.

Adam, benchmark V1: U-Net, 224 px, Adam 1e-3, soft Dice over the flattened batch, light augmentation of light and place.
Images and masks are resized to squares (cubes) of `size`; probabilities are brought back to the prepared image, where Dice
is measured. DIFFERENCES: a number of steps in place of epochs with early stopping, so that runs with 3 and with 200 images
have the same budget and no validation patients are needed; validation there got random augmentation.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vesalius.chance import generator
from vesalius.errors import DataError
from vesalius.features import evaluating
from vesalius.features.subjects import Subject
from vesalius.losses.dice import soft_dice
from vesalius.models.decoder import UNet
from vesalius.space.warp import about_centre, axis_rotation, inverse


@dataclass(frozen=True)
class Config:
    """size: side at which the network sees images, px. frozen: share of the steps in which only the decoder learns.
    rotation (degrees), zoom (factor), shift (share of a side), light (factor): ends of the augmentation's ranges."""

    size: int = 224
    steps: int = 400
    batch: int = 8
    lr: float = 1e-3
    frozen: float = 0.0
    rotation: float = 10.0
    zoom: float = 1.15
    shift: float = 0.05
    light: float = 0.2


@dataclass(frozen=True, eq=False)
class Samples:
    """images (N, C, *size) in 0..1; masks (N, K, *size) in 0..1; known (N, K)."""

    images: Tensor
    masks: Tensor
    known: Tensor


def samples(subjects: Sequence[Subject], structures: Sequence[str], size: int) -> Samples:
    """Subjects at the size of training. DataError: an image with none of the structures contoured."""
    images, masks, known = [], [], []
    for subject in subjects:
        places = [subject.structures.index(name) if name in subject.structures else -1 for name in structures]
        if max(places) < 0:
            raise DataError(f"has no mask of {', '.join(structures)}", file=subject.id, remedy="Leave it out.")
        mask = torch.from_numpy(subject.mask).float()
        chosen = torch.stack([mask[at] if at >= 0 else torch.zeros(subject.shape) for at in places])
        images.append(resized(subject.image, size))
        masks.append(resized(chosen, size))
        known.append([float(at >= 0) for at in places])
    return Samples(torch.stack(images), torch.stack(masks), torch.tensor(known))


def resized(image: Tensor, size: int) -> Tensor:
    """(C, *S) -> (C, size, ...), antialiased in 2-D, linear in 3-D."""
    target = (size,) * (image.ndim - 1)
    if image.ndim == 3:
        return functional.interpolate(image[None], target, mode="bilinear", antialias=True)[0]
    return functional.interpolate(image[None], target, mode="trilinear", align_corners=False)[0]


def train(
    network: UNet, data: Samples, config: Config, seed: int, progress: Callable[[int, int], None] | None = None
) -> list[float]:
    """`network` learns in place; the loss of every step. Draws follow from (seed, step) alone."""
    network.train()
    own = list(network.backbone.parameters())
    rest = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
    optimiser = torch.optim.Adam([{"params": own}, {"params": rest}], lr=config.lr)
    losses = []
    for step in range(config.steps):
        waits = step < config.frozen * config.steps
        for parameter in own:
            parameter.requires_grad_(not waits)
        if waits:
            network.backbone.eval()  # statistics of its norms stay, too
        else:
            network.backbone.train()
        rate = config.lr * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, masks, known = batch(data, config, generator(seed, step))
        loss = soft_dice(network(images), masks, known)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step + 1, config.steps)
    return losses


def batch(data: Samples, config: Config, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Images and masks moved alike, images lit differently: (B, C, *size), (B, K, *size), (B, K)."""
    n = len(data.images)
    chosen = torch.from_numpy(
        np.concatenate([rng.permutation(n) for _ in range(-(-config.batch // n))])[: config.batch]
    )
    shape = tuple(data.images.shape[2:])
    moves = torch.stack([_grid_matrix(rng, shape, config) for _ in range(config.batch)])
    both = torch.cat([data.images[chosen], data.masks[chosen]], 1)
    grid = functional.affine_grid(moves, list(both.shape), align_corners=False)
    moved = functional.grid_sample(both, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    channels = data.images.shape[1]
    light, contrast = (
        torch.from_numpy(rng.uniform(-config.light, config.light, (config.batch, *(1,) * (both.ndim - 1)))).float()
        for _ in range(2)
    )
    images = ((moved[:, :channels] - 0.5) * (1 + contrast) + 0.5 + light / 2).clamp(0, 1)
    return images, moved[:, channels:], data.known[chosen]


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


def predict(network: UNet, subjects: Sequence[Subject], size: int) -> Iterator[NDArray[np.float32]]:
    """Of each subject, probabilities (K, *S) in its prepared image."""
    for subject in subjects:
        with evaluating(network):
            logits = network(resized(subject.image, size)[None])
            mode = "bilinear" if len(subject.shape) == 2 else "trilinear"
            full = functional.interpolate(logits, subject.shape, mode=mode, align_corners=False)
        yield full[0].sigmoid().numpy()
