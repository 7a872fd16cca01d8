"""A step of fine-tuning, U-Net on ResNet-50 as `evaluate.segmentation` builds it, at 224 px: bf16 and channels-last against
plain fp32. Last line: `step_unet50_bf16 RATIO`. Floor: 1.7, on a CPU that has bf16 units.

Both sides make the same step on the same images from the same weights: forward, soft Dice, backward, Adam. Where there are
bf16 units it is then said whether Dice on unseen phantoms stays where fp32 has it, within the noise of seeds.
"""

import statistics
from collections.abc import Callable

import torch
import tyro
from torch import Tensor

from race import race, tell, track
from vesalius import zoo
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import steps_for
from vesalius.evaluate import segmentation
from vesalius.evaluate.schedule import optimiser
from vesalius.features.subjects import Subject, load
from vesalius.losses.dice import soft_dice
from vesalius.models.decoder import UNet

STRUCTURES = ("heart", "lung_right", "lung_left")


def stepper(
    images: Tensor, masks: Tensor, bf16: bool, layout: torch.memory_format, backbone: str = "resnet50"
) -> Callable[[int], float]:
    """A function of the step's number that makes the step and gives its loss."""
    torch.manual_seed(0)
    device = images.device.type
    network = UNet(zoo.build(backbone), masks.shape[1]).to(device)
    network.to(memory_format=layout)  # type: ignore[call-overload]
    adam = optimiser(network, network.backbone)
    for group in adam.param_groups:
        group["lr"] = segmentation.Config.lr

    def step(t: int) -> float:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = soft_dice(network(images), masks)
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        return float(loss.detach())

    return step


def phantoms(first: int, bodies: int, side: int = 64) -> list[Subject]:
    """Radiographs of synthetic bodies, with their masks."""
    dataset = open_dataset(f"phantom:?bodies={bodies}&first={first}&size={side}")
    return load(dataset, dataset.ids, steps_for(2, side), b"synthetic")


def dice(bf16: bool, seed: int, known: list[Subject], unseen: list[Subject], steps: int) -> float:
    """Mean Dice on `unseen` of a small U-Net that learned on `known`."""
    torch.manual_seed(seed)
    network, config = UNet(zoo.build("resnet18"), len(STRUCTURES)), segmentation.Config(size=64, steps=steps)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        segmentation.train(network, segmentation.samples(known, STRUCTURES, 64), config, seed)
    scores = []
    for subject, found in zip(unseen, segmentation.predict(network, unseen, 64), strict=True):
        truth = subject.mask[[subject.structures.index(name) for name in STRUCTURES]]
        both, either = ((found > 0.5) & truth).sum((1, 2)), (found > 0.5).sum((1, 2)) + truth.sum((1, 2))
        scores.append(float((2 * both / either).mean()))
    return statistics.mean(scores)


def compare_dice(steps: int = 120, seeds: int = 3) -> None:
    """Say whether learning in bf16 leaves Dice where fp32 has it, within the noise of seeds."""
    known, unseen = phantoms(0, 24), phantoms(1000, 24)
    ends = {bf16: [dice(bf16, seed, known, unseen, steps) for seed in range(seeds)] for bf16 in (False, True)}
    noise, change = statistics.stdev(ends[False]), statistics.mean(ends[True]) - statistics.mean(ends[False])
    print(
        f"Dice on unseen phantoms: fp32 {statistics.mean(ends[False]):.4f} (deviation over {seeds} seeds {noise:.4f}), bf16 "
        f"{change:+.4f}: {'unchanged within noise' if abs(change) <= 2 * noise / seeds**0.5 else 'CHANGED'}"
    )


def main(side: int = 224, batch: int = segmentation.Config.batch, rounds: int = 5, emulate: bool = False) -> None:
    """side: of the images, px. batch: images a step. rounds: steps that are timed. emulate: bf16 without units for it."""
    on = track(emulate)
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 1, side, side, generator=draw).to(on.device)
    masks = (torch.rand(batch, len(STRUCTURES), side, side, generator=draw) > 0.5).float().to(on.device)
    plain = stepper(images, masks, False, torch.contiguous_format)
    product = stepper(images, masks, on.bf16, torch.channels_last)
    times = race(plain, product, rounds, on.device)
    if on.bf16 and on.device == "cpu":
        compare_dice()
    tell("step_unet50", f"U-Net on ResNet-50, {batch} images of {side} px", *times, on)


if __name__ == "__main__":
    tyro.cli(main)
