"""What a run saves of its optimiser is what goes on, however the weights lie in memory."""

from pathlib import Path

import pytest
import torch
from torch import nn

from vesalius import checkpoint
from vesalius.checkpoint import Card
from vesalius.train import optim
from vesalius.train.folder import Folder, Place, restore_optimizer
from vesalius.train.run import Optim


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_restored_optimiser_makes_the_step_that_was_to_come(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    gradients = [torch.randn_like(parameter) for parameter in network.parameters()]

    def step(adam: torch.optim.Optimizer) -> None:
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone(memory_format=torch.preserve_format)
        adam.step()

    first = optim.build(network.parameters(), Optim(kind=kind, lr=0.1))
    step(first)
    Folder(tmp_path).save(tmp_path / "last.safetensors", network, first, {}, Card({}), Place())
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step(first)
    after = [parameter.detach().clone() for parameter in network.parameters()]
    network.load_state_dict(dict(zip(network.state_dict(), before, strict=True)))
    tensors, card = checkpoint.read(tmp_path / "last.safetensors")
    second = optim.build(network.parameters(), Optim(kind=kind, lr=0.1))
    restore_optimizer(second, tensors, card.state)
    step(second)
    assert all(a.equal(b) for a, b in zip(network.parameters(), after, strict=True))
