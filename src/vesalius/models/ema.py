"""A slow copy of a network that follows it: the exponential moving average of its parameters."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def slow_copy(fast: Network) -> Network:
    """A copy of `fast`, equal to it now, whose parameters take no gradient."""
    return copy.deepcopy(fast).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, m: float) -> None:
    """slow <- m slow + (1 - m) fast, in place. Parameters only: buffers (batch statistics) stay slow's own (MoCo)."""
    theirs: list[Tensor] = list(fast.parameters())
    ours: list[Tensor] = list(slow.parameters())
    if len(theirs) != len(ours):
        raise ValueError(f"a slow copy of {len(ours)} parameters cannot follow a network of {len(theirs)}")
    torch._foreach_lerp_(ours, theirs, 1 - m)
