"""How fast backbone and head learn at each step of fine-tuning: cosine to 0; frozen first, and then a ramp, where asked."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

DOUBLINGS = 4  # from a tenth of the rate: vox2vec, section 2.2: 3e-5, 6e-5, 1.2e-4, 2.4e-4, then 3e-4


def rates(
    step: int, steps: int, lr: float, frozen: float = 0.0, ramp: float = 0.0, *, constant: bool = False
) -> tuple[float, float]:
    """Of backbone and head at `step`. frozen: share of the steps in which the backbone's is 0. ramp: share of the steps,
    after these, in which it doubles four times from a tenth; 0: none. constant: without the cosine, as vox2vec trains.
    """
    head = lr if constant else lr * 0.5 * (1 + math.cos(math.pi * step / steps))
    if step < frozen * steps:
        return 0.0, head
    if ramp <= 0:
        return head, head
    since = step - math.ceil(frozen * steps)
    doubled = since // max(1, round(ramp * steps / DOUBLINGS))
    return head * (2**doubled / 10 if doubled < DOUBLINGS else 1.0), head


def optimiser(network: nn.Module, backbone: nn.Module) -> torch.optim.Adam:
    """Adam over two groups: the weights of `backbone`, and the others of `network`, of which it is a part."""
    own = list(backbone.parameters())
    mine = {id(parameter) for parameter in own}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in mine]
    return torch.optim.Adam([{"params": own}, {"params": rest}])


def pace(adam: torch.optim.Adam, backbone: nn.Module, now: tuple[float, float]) -> None:
    """Set the rates of a step. A backbone of rate 0 is frozen: no gradient, and the statistics of its norms stay, too."""
    learns = now[0] > 0
    backbone.requires_grad_(learns)
    backbone.train(learns)
    for group, rate in zip(adam.param_groups, now, strict=True):
        group["lr"] = rate


def learn(
    network: nn.Module,
    backbone: nn.Module,
    steps: int,
    now: Callable[[int], tuple[float, float]],
    loss: Callable[[int], Tensor],
) -> list[float]:
    """`network` learns in place; the loss of every step. now: step -> rates of `backbone` and of the rest; loss: step ->
    scalar, of that step's batch."""
    network.train()
    adam, losses = optimiser(network, backbone), []
    for step in range(steps):
        pace(adam, backbone, now(step))
        value = loss(step)
        adam.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(float(value.detach()))
    return losses
