"""Two processes equal one: gather, sums with gradients, bank, batch norm and shuffle, on gloo through a file."""

import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from vesalius.chance import generator, permutation
from vesalius.models.memory_bank import MemoryBank
from vesalius.models.norm import convert, shuffle, unshuffle
from vesalius.models.ranks import gather, rank, total, world

B = 8  # global batch


def everything() -> dict[str, np.ndarray]:
    """Runs on this process's share of one global batch; every value is global, or summed as DDP would."""
    torch.set_num_threads(1)
    mine = slice(rank() * B // world(), (rank() + 1) * B // world())
    x = torch.from_numpy(generator(1).standard_normal((B, 3, 4, 5), np.float32)) * 3 + 2
    x = x * torch.arange(1, B + 1).view(-1, 1, 1, 1)
    weight = torch.from_numpy(generator(2).standard_normal((B, 4, 2, 3), np.float32))
    found: dict[str, torch.Tensor] = {"gathered": gather(x[mine])}

    bank = MemoryBank(2 * B, 5, generator(3))
    keys, number = torch.from_numpy(generator(4).standard_normal((B, 5), np.float32)), torch.arange(B)
    for step in range(3):
        bank.push(keys[mine] + step, number[mine] + step * B, number[mine, None].expand(-1, 4) + step)
    found |= {f"bank.{name}": value for name, value in bank.named_buffers()}

    for groups in (1, 2, 4):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        for i, p in enumerate(net.parameters()):
            p.data = torch.from_numpy(generator(5, i).standard_normal(p.shape, np.float32))
        convert(net, groups)
        part = x[mine].clone().requires_grad_()
        y = net(part)
        (y * weight[mine]).sum().backward()
        found |= {f"norm{groups}.y": gather(y), f"norm{groups}.dx": gather(part.grad)}
        found |= {f"norm{groups}.d{name}": total(p.grad) for name, p in net.named_parameters()}
        found |= {f"norm{groups}.{name}": value for name, value in net.named_buffers()}

    order = permutation(B, 0, 7)
    found["shuffled"] = gather(shuffle(x[mine], order))
    found["unshuffled"] = gather(unshuffle(shuffle(x[mine], order), order))
    return {name: value.detach().numpy().copy() for name, value in found.items()}


def process(number: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=2)
    np.savez(f"{folder}/{number}.npz", **everything())
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process finds, and what each of two does."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn = multiprocessing.get_context("spawn")
    two = [spawn.Process(target=process, args=(number, str(folder))) for number in range(2)]
    for p in two:
        p.start()
    one = everything()
    for p in two:
        p.join(120)
        assert p.exitcode == 0
    return one, *(dict(np.load(folder / f"{number}.npz")) for number in range(2))


@pytest.mark.parametrize("part", ["gathered", "bank.", "norm1.", "norm2.", "norm4.", "shuffled", "unshuffled"])
def test_two_processes_find_what_one_does(found, part):
    one, first, _ = found
    names = [name for name in one if name.startswith(part)]
    assert names
    for name in names:
        scale = max(1.0, np.abs(one[name]).max())
        np.testing.assert_allclose(first[name], one[name], rtol=0, atol=1e-6 * scale, err_msg=name)


def test_every_rank_holds_the_same(found):
    _, first, second = found
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_the_bank_takes_rank_0_first(found):
    _, first, _ = found
    assert first["bank.image"].tolist() == [*range(16, 24), *range(8, 16)]


def test_groups_matter(found):
    one = found[0]
    assert np.abs(one["norm1.y"] - one["norm2.y"]).max() > 0.1
    assert np.abs(one["norm2.y"] - one["norm4.y"]).max() > 0.1


def test_shuffling_moves_keys_between_processes_and_back(found):
    _, first, _ = found
    np.testing.assert_array_equal(first["shuffled"], first["gathered"][permutation(B, 0, 7)])
    np.testing.assert_array_equal(first["unshuffled"], first["gathered"])


def test_alone_there_is_one_process_and_nothing_to_sum():
    x = torch.randn(3, requires_grad=True)
    assert (world(), rank()) == (1, 0)
    assert total(x) is x
    assert not gather(x).requires_grad
