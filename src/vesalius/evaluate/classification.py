"""Fine-tuning for classes: a linear head on the encoder's pooled features, all weights learn (or the head first).

Adam, benchmark V1: binary cross entropy, Adam 2e-4, batch 32, RandomResizedCrop to 224 px, mirroring, up to 7 degrees; tested
on images of 256 px by the mean over ten crops: corners, centre, and these mirrored. Images are resized to squares (cubes)
once and kept: what the memory does not hold lies in a file. A volume is tested as a whole.

DIFFERENCES: a number of steps with cosine to 0 in place of epochs, plateaus and early stopping, so that runs with few and
with many labels have the same budget and no validation patients are needed. Crops are cut from the resized image, and turned
there: what turns in is tissue, not black, unless it lies outside of the image.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesalius.chance import generator
from vesalius.compute import device_of
from vesalius.data.shelf import Shelf
from vesalius.errors import DataError, SettingError
from vesalius.evaluate.augment import crop_matrix, moved, which
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.schedule import learn, rates
from vesalius.features import evaluating
from vesalius.features.subjects import Subject
from vesalius.losses import cross_entropy
from vesalius.models.classifier import Classifier
from vesalius.settings import least
from vesalius.views.crops import resize
from vesalius.views.intensity import to_unit
from vesalius.views.parts import left_right


@dataclass(frozen=True)
class Config:
    """size: side at which the network sees images, px. frozen: share of the steps in which only the head learns; ramp: share
    after these in which the backbone's rate rises. area: of a crop, ends of its range, as a share of the image. rotation:
    degrees. flip: probability of a mirrored image; at 0 no crop is mirrored in the test either. ten_crop: in 2-D; False for
    the central one. exclusive: an image has one of the classes (softmax), not any number of them.
    """

    size: int = 224
    steps: int = 1000
    batch: int = 32
    lr: float = 2e-4
    frozen: float = 0.0
    ramp: float = 0.0
    area: tuple[float, float] = (0.08, 1.0)  # torchvision's default for RandomResizedCrop, which Adam names
    rotation: float = 7.0
    flip: float = 0.5
    ten_crop: bool = True
    exclusive: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise SettingError(
                f"setting area is {self.area}", remedy="Two shares, above 0, up to 1, the smaller first."
            )
        least(self, 1, "size", "steps", "batch")

    def side(self, ndim: int) -> int:
        """At which images are kept, px: crops of `size` are cut from them (256 for 224), but for volumes, which stay whole."""
        return round(self.size * 256 / 224) if ndim == 2 else self.size


class FineTuning:
    """Classifiers on copies of one backbone, each trained on some of `pool`; its own weights never change."""

    def __init__(
        self,
        backbone: nn.Module,
        pool: Sequence[Subject],
        test: Sequence[Subject],
        names: Sequence[str],
        config: Config,
    ) -> None:
        """Images are resized here, once. names: of the classes. Errors: SettingError for one exclusive class; DataError where
        classes exclude each other, and an image has none or several."""
        if config.exclusive and len(names) < 2:
            remedy = "One class is a yes or a no: do not set exclusive."
            raise SettingError(f"{', '.join(names)} alone cannot exclude other classes", remedy=remedy)
        self.backbone, self.config, self.names = backbone, config, tuple(names)
        self.labels = label_table(pool, names, config.exclusive)
        self.images, self.asked = (kept(subjects, config) for subjects in (pool, test))

    def run(self, own: Sequence[int], seed: int) -> Outcome:
        """(K,) probabilities of each of `test`, after training on the images `own` of the pool; NaN where a class has one
        value there. Nothing is trained where all have."""
        given = torch.tensor(own, dtype=torch.int64)
        found = self.labels[given]
        learnable = np.array([len(set(column[column.isfinite()].tolist())) > 1 for column in found.T])
        if not learnable.any():
            return Outcome([np.full(len(self.names), np.nan, np.float32)] * len(self.asked), 0)
        torch.manual_seed(seed)  # the head's first weights: the same for every encoder
        network = Classifier(copy.deepcopy(self.backbone), len(self.names)).to(device_of(self.backbone))
        labelled = given[found.isfinite().any(1)]
        train(network, self.images, self.labels, labelled, self.config, seed)
        learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
        scores = (np.where(learnable, p, np.float32(np.nan)) for p in predict(network, self.asked, self.config))
        return Outcome(list(scores), learned, network)


def kept(subjects: Sequence[Subject], config: Config) -> list[Tensor]:
    """(C, *side) each: images as large as training and test need them; uint8 where all are, else fp16 in 0..1."""
    images, shelf = [], Shelf()
    as_bytes = all(subject.pixels.dtype == np.uint8 and subject.unit == "0..1" for subject in subjects)
    for subject in subjects:
        ndim = len(subject.shape)
        small = resize(subject.pixels, (config.side(ndim),) * ndim)
        if not as_bytes:
            small = to_unit(torch.tensor(small), subject.unit).half().numpy()
        images.append(torch.from_numpy(shelf.keep(small)))
    return images


def stacked(images: Sequence[Tensor], device: torch.device | str) -> Tensor:
    """(B, C, *side) in 0..1 on the device."""
    every = torch.from_numpy(np.stack([image.numpy() for image in images]))  # autocast's own `stack` takes no fp16
    return to_unit(every.to(device), "0..1")


def label_table(subjects: Sequence[Subject], classes: Sequence[str], exclusive: bool = False) -> Tensor:
    """(N, K): 1, 0, or NaN where not labelled. exclusive: all NaN where no class is known to be the one; DataError where an
    image has several, or is known to have none."""
    table = torch.tensor([[float(s.classes.get(name, np.nan)) for name in classes] for s in subjects])
    if exclusive:
        for subject, row in zip(subjects, table, strict=True):
            if row.nansum() > 1 or row.sum() == 0:
                said = f"has {'several' if row.nansum() else 'none'} of {', '.join(classes)}, which exclude each other"
                raise DataError(said, file=subject.id, remedy="Do not set exclusive, or mend its labels.")
        table[table.nansum(1) == 0] = torch.nan
    return table


def train(
    network: Classifier, images: Sequence[Tensor], labels: Tensor, own: Tensor, config: Config, seed: int
) -> list[float]:
    """`network` learns in place from those called `own` of N images (C, *side) and (N, K); the loss of every step.

    Draws follow from (seed, step) alone.
    """
    equation = cross_entropy.exclusive if config.exclusive else cross_entropy.binary
    device = network.head.weight.device

    def now(step: int) -> tuple[float, float]:
        return rates(step, config.steps, config.lr, config.frozen, config.ramp)

    def loss(step: int) -> Tensor:
        chosen, views = batch(images, own, config, generator(seed, step), device)
        return equation(network(views), labels[chosen].to(device))

    return learn(network, network.backbone, config.steps, now, loss)


def batch(
    images: Sequence[Tensor], own: Tensor, config: Config, rng: np.random.Generator, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """N images (C, *side) and (n,) indices -> (B,) of these, and their views (B, C, *size) in 0..1 on the device."""
    chosen = own[which(rng, len(own), config.batch)]
    shape = tuple(images[0].shape[1:])
    matrices = torch.stack(
        [crop_matrix(rng, shape, config.area, config.rotation, config.flip) for _ in range(config.batch)]
    )
    whole = stacked([images[i] for i in chosen.tolist()], device)
    return chosen, moved(whole, matrices.to(device), (config.size,) * len(shape))


def predict(network: Classifier, images: Sequence[Tensor], config: Config) -> Iterator[NDArray[np.float32]]:
    """N images (C, *side) -> (K,) probabilities of each: the mean over its crops."""
    device = network.head.weight.device
    for start in range(0, len(images), config.batch):
        with evaluating(network):
            whole = stacked(images[start : start + config.batch], device)
            logits = torch.stack([network(view) for view in crops(whole, config)]).float()
            found = (logits.softmax(-1) if config.exclusive else logits.sigmoid()).mean(0)
        yield from found.cpu().numpy()


def crops(images: Tensor, config: Config) -> Iterator[Tensor]:
    """(B, C, *side) -> crops (B, C, *size): four corners and the centre, then mirrored; or the centre alone."""
    free = [side - config.size for side in images.shape[2:]]
    places = [tuple(n // 2 for n in free)]
    if config.ten_crop and len(free) == 2:
        places += [(row, column) for row in (0, free[0]) for column in (0, free[1])]
    for place in places:
        view = images[:, :, *(slice(a, a + config.size) for a in place)]
        yield view
        if len(places) > 1 and config.flip > 0:
            yield view.flip(2 + left_right(len(free)))
