"""What processes tell each other: size of the world, gathering, and a sum that gradients flow through."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """Number of processes; 1 where torch.distributed is not running."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, 0..world() - 1."""
    return dist.get_rank() if world() > 1 else 0


@torch.no_grad()
def gather(x: Tensor) -> Tensor:
    """(B, ...) on every process -> (world * B, ...), in rank order and the same everywhere. No gradient."""
    if world() == 1:
        return x.detach()
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def total(x: Tensor) -> Tensor:
    """Sum of `x` over processes, the same everywhere. Its gradient is the sum of every process's gradient."""
    return x if world() == 1 else _Total.apply(x)  # type: ignore[no-untyped-call]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _summed(grad)


def _summed(x: Tensor) -> Tensor:
    result = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(result)
    return result
