"""The gradients of a small map's convolution are torch's."""

import pytest
import torch
from torch import nn

from vesalius.models.conv import SMALL, Conv2d, Conv3d


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(2, 2), (3, 4), (5, 3), (1, 1), (2, 3, 1), (2, 2, 2)])
def test_gradients_are_those_of_torch(sides: tuple[int, ...], stride: int, bias: bool) -> None:
    quick, plain = ((Conv2d, nn.Conv2d), (Conv3d, nn.Conv3d))[len(sides) - 2]
    torch.manual_seed(0)
    ours = quick(3, 5, 3, stride, padding=1, bias=bias)
    theirs = plain(3, 5, 3, stride, padding=1, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    x, y = (torch.randn(4, 3, *sides).requires_grad_() for _ in range(2))
    y.data.copy_(x.data)
    a, b = ours(x), theirs(y)
    weight = torch.randn_like(a)
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    assert a.numel() // 20 <= SMALL
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    if bias:
        torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def test_only_small_maps_on_a_cpu_in_fp32_take_the_product() -> None:
    conv = Conv2d(2, 2, 3, padding=1, bias=False)
    assert "_Product" in type(conv(torch.rand(1, 2, 4, 4)).grad_fn).__name__
    assert "_Product" not in type(conv(torch.rand(1, 2, 5, 5)).grad_fn).__name__
    with torch.autocast("cpu", torch.bfloat16):
        assert "_Product" not in type(conv(torch.rand(1, 2, 4, 4)).grad_fn).__name__
    with torch.no_grad():
        assert conv(torch.rand(1, 2, 4, 4)).grad_fn is None
