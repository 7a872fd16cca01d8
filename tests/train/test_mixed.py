"""A step under bf16 autocast, through Fabric, makes about the loss of one in fp32."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from vesalius.methods import adam
from vesalius.methods.step import Progress


class Small(nn.Module):
    """A backbone of one layer."""

    ndim, in_channels, channels, strides = 2, 3, (16,), (4,)

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 16, 5, 4), nn.BatchNorm2d(16)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.norm(self.conv(x)).relu()]


def loss(precision: str) -> torch.Tensor:
    torch.manual_seed(0)
    method = adam.Method(Small(), adam.Config(bank=16, groups=2))
    x1, x2 = torch.rand(2, 8, 1, 24, 24)
    views = {"x1": x1, "x2": x2, "image": torch.arange(8), "part": torch.zeros(8, 4, dtype=torch.int32)}
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)  # type: ignore[arg-type]
    made = fabric.setup(method)(views, Progress(0, 0, 1, 0, 1, 0, logging=True))
    fabric.backward(made.loss)
    assert all(p.grad.isfinite().all() for p in method.towers.f.parameters())
    return made.loss.detach()


def test_bf16_makes_the_loss_of_fp32() -> None:
    plain, mixed = loss("32-true"), loss("bf16-mixed")
    assert mixed.dtype == torch.float32
    assert float(mixed) == pytest.approx(float(plain), abs=0.1)
    assert not mixed.equal(plain)
