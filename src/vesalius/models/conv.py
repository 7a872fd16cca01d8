"""Convolutions whose weights learn fast on small maps: torch's own, but for one gradient on one kind of device."""

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

SMALL = 16  # places of the output in a sample up to which the product is faster; measured on two cores with AVX2


class _Quick(nn.modules.conv._ConvNd):
    """On a CPU in fp32 the gradient to the weights of a small map is one matrix product of gradient and windows: three
    to six times faster than the native kernel at 2 x 2, which made a fifth of a step of ResNet-18 at 64 px."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, outside, *S / stride)."""
        if self.weight.requires_grad and torch.is_grad_enabled() and self._small(x):
            y: Tensor = _Product.apply(x, self.weight, self.stride, self.padding)  # type: ignore[no-untyped-call]
            return y if self.bias is None else y + self.bias.view(1, -1, *(1,) * (x.ndim - 2))
        return super().forward(x)  # type: ignore[no-any-return]

    def _small(self, x: Tensor) -> bool:
        places = 1
        for side, stride in zip(x.shape[2:], self.stride, strict=True):
            places *= -(-side // stride)
        plain = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32 and self.kernel_size[0] > 1
        return plain and places <= SMALL and not torch.is_autocast_enabled("cpu")


class Conv2d(_Quick, nn.Conv2d):
    """nn.Conv2d without dilation or groups; the sides it leaves are S / stride, rounded up."""


class Conv3d(_Quick, nn.Conv3d):
    """nn.Conv3d without dilation or groups; the sides it leaves are S / stride, rounded up."""


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.convolution(x, weight, None, stride, padding, (1,) * len(stride), False, (0,) * len(stride), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        n, to_x = len(ctx.stride), None
        if ctx.needs_input_grad[0]:
            static = (None, ctx.stride, ctx.padding, (1,) * n, False, (0,) * n, 1, (True, False, False))
            to_x = torch.ops.aten.convolution_backward(grad, x, weight, *static)[0]
        return to_x, weight_gradient(x, grad, weight.shape[2:], ctx.stride, ctx.padding), None, None


def weight_gradient(
    x: Tensor, grad: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    """(B, C, *S) and the gradient (B, D, *P) to what a convolution made of it -> (D, C, *kernel), channels last."""
    last = functional.pad(x.movedim(1, -1), (0, 0, *(p for side in reversed(padding) for p in (side, side))))
    windows = [
        last[:, *(slice(o, o + (p - 1) * s + 1, s) for o, p, s in zip(offset, grad.shape[2:], stride, strict=True))]
        for offset in product(*map(range, kernel))
    ]
    rows = torch.cat(windows, -1).flatten(0, -2)  # (B * places, kernel places * C)
    columns = grad.movedim(1, -1).reshape(len(rows), -1).T
    return (columns @ rows).view(-1, *kernel, x.shape[1]).movedim(-1, 1)
