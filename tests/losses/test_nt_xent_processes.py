"""Two processes, with unequal numbers of pairs, learn what one learns from all pairs: on gloo through a file."""

import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import normalize

from vesalius.chance import generator
from vesalius.losses import info_nce
from vesalius.models import ranks

N, D = 11, 6
SHARES = {1: [slice(0, N)], 2: [slice(0, 7), slice(7, N)]}


def learned() -> dict[str, np.ndarray]:
    """The loss, and the gradients to one weight and to this process's vectors, each process with its share of the pairs."""
    torch.set_num_threads(1)
    info_nce.TILE["cpu"] = 4
    x = torch.from_numpy(generator(1).standard_normal((2, N, D)))[:, SHARES[ranks.world()][ranks.rank()]]
    weight = torch.from_numpy(generator(2).standard_normal((D, D))).requires_grad_()
    z1, z2 = (normalize(view @ weight, dim=1) for view in x)
    loss = info_nce.nt_xent(z1, z2, 0.2, ranks)
    to_weight, to_z1 = torch.autograd.grad(loss, (weight, z1))
    return {
        "loss": loss.detach().numpy(),
        "weight": (ranks.total(to_weight) / ranks.world()).numpy(),  # as DDP does
        "z1": (to_z1 / ranks.world()).numpy(),
    }


def process(number: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=2)
    np.savez(f"{folder}/{number}.npz", **learned())
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process finds, and what each of two does."""
    folder = tmp_path_factory.mktemp("processes")
    spawn = multiprocessing.get_context("spawn")
    two = [spawn.Process(target=process, args=(number, str(folder))) for number in range(2)]
    for p in two:
        p.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(info_nce, "TILE", dict(info_nce.TILE))
        one = learned()
    for p in two:
        p.join(120)
        assert p.exitcode == 0
    return one, *(dict(np.load(folder / f"{number}.npz")) for number in range(2))


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_two_processes_learn_what_one_does(found, what):
    one, first, second = found
    np.testing.assert_allclose(first[what], one[what], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(first[what], second[what])


def test_every_vector_gets_the_gradient_it_gets_alone(found):
    one, first, second = found
    assert np.abs(one["z1"]).max() > 1e-3
    np.testing.assert_allclose(np.concatenate([first["z1"], second["z1"]]), one["z1"], rtol=1e-12, atol=1e-14)
