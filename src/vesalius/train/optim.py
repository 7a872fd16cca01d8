"""The optimiser and the rate of each step. The rate is a pure function of the step, so resuming needs no state."""

import math
from collections.abc import Iterable

import torch

from vesalius.train.run import Optim

KEPT = {"sgd": 1, "adamw": 2}  # numbers that each keeps for a weight


def build(parameters: Iterable[torch.nn.Parameter], optim: Optim) -> torch.optim.Optimizer:
    """A fresh optimiser over the parameters that learn."""
    learning = [p for p in parameters if p.requires_grad]
    if optim.kind == "adamw":
        return torch.optim.AdamW(learning, lr=optim.lr, weight_decay=optim.weight_decay, fused=True)  # twice as fast
    return torch.optim.SGD(learning, lr=optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay)


def rate(optim: Optim, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The rate at `step` of a stage: linear warm-up per step, then cosine per epoch (as MoCo-v2) to 0 at its end."""
    warmup = optim.warmup_epochs * steps_per_epoch
    if step < warmup:
        return optim.lr * (step + 1) / (warmup + 1)
    if optim.schedule == "constant":
        return optim.lr
    epoch = step // steps_per_epoch
    return optim.lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
