"""Few-shot segmentation: fine-tune on 3, 6, 12, 24 patients, nested draws; Dice of every test patient (Adam, Table 1)."""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from vesalius.chance import generator
from vesalius.data.splits import few_shot
from vesalius.errors import SettingError
from vesalius.evaluate import segmentation
from vesalius.evaluate.metrics import overlaps
from vesalius.features.subjects import Subject
from vesalius.models.decoder import UNet
from vesalius.results import Row

Keep = Callable[[UNet, Sequence[Subject], int, int, int], None]


@dataclass(frozen=True)
class Config:
    """shots: labelled patients; 0 means all. draws: of these patients, each with another seed of decoder and batches."""

    shots: tuple[int, ...] = (3, 6, 12, 24)
    draws: int = 5
    seed: int = 0
    train: segmentation.Config = field(default_factory=segmentation.Config)


def rows(
    run: str,
    backbone: Any,
    pool: Sequence[Subject],
    test: Sequence[Subject],
    structures: Sequence[str],
    config: Config,
    *,
    measure: str = "fewshot",
    done: Collection[tuple[int, int]] = (),
    keep: Keep | None = None,
) -> Iterator[list[Row]]:
    """Of every (shots, draw), Dice and IoU of each test patient and structure. `backbone` is copied, never changed.

    done: (shots, draw) that were measured before. keep: called with each trained network, the images it saw, shots, draw
    and seed. SettingError where there are fewer patients than shots.
    """
    of = {subject.id: subject for subject in pool}
    patients = {subject.patient for subject in pool}
    if max(config.shots) > len(patients):
        raise SettingError(f"{max(config.shots)} shots of {len(patients)} patients", remedy="Ask for fewer.")
    for draw in range(config.draws):
        wanted = [n or len(patients) for n in config.shots]
        chosen = few_shot(list(of), lambda id: of[id].patient, wanted, draw, config.seed)
        for shots, n in zip(config.shots, wanted, strict=True):
            if (shots, draw) in done:
                continue
            own = [of[id] for id in chosen[n]]
            yield list(_of_one(run, backbone, own, test, structures, config, draw, shots, measure, keep))


def _of_one(
    run: str,
    backbone: Any,
    own: Sequence[Subject],
    test: Sequence[Subject],
    structures: Sequence[str],
    config: Config,
    draw: int,
    shots: int,
    measure: str,
    keep: Keep | None,
) -> Iterator[Row]:
    seed = int(generator(config.seed, draw, 9).integers(2**31))
    torch.manual_seed(seed)  # the decoder's first weights: the same for every encoder
    network = UNet(copy.deepcopy(backbone), len(structures))
    segmentation.train(network, segmentation.samples(own, structures, config.train.size), config.train, seed)
    if keep is not None:
        keep(network, own, shots, draw, seed)
    learned = sum(p.numel() for p in network.parameters())
    for subject, probabilities in zip(test, segmentation.predict(network, test, config.train.size), strict=True):
        common = [i for i, name in enumerate(structures) if name in subject.structures]
        names = [structures[i] for i in common]
        truth = subject.mask[[subject.structures.index(name) for name in names]]
        for (metric, name), value in overlaps(probabilities[common] > 0.5, truth, names).items():
            yield Row(
                measure=measure, name=metric, value=value, run=run, structure=name, patient=subject.patient,
                shots=shots or None, draw=draw, seed=seed, parameters=learned, space="standard",
            )  # fmt: skip
