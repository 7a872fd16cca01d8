import math

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy, normalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vesalius.errors import SettingError
from vesalius.losses import info_nce
from vesalius.losses.info_nce import nt_xent


def full(z1, z2, tau):
    """The whole 2N x 2N matrix."""
    z, n = torch.cat([z1, z2]), len(z1)
    scores = (z @ z.T / tau).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    return cross_entropy(scores, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


def pairs(n, d=16, noise=0.3, dtype=torch.float32, seed=0):
    """Unit vectors that want gradients, in pairs that are alike."""
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.randn(n, d, generator=draw, dtype=dtype), torch.randn(n, d, generator=draw, dtype=dtype)
    return tuple(normalize(x, dim=1).requires_grad_() for x in (first, first + noise * second))


class Largest(TorchDispatchMode):
    """How many bytes lie behind the largest tensor that any operation gave, forward or backward."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        sizes = (x.untyped_storage().nbytes() for x in tree_leaves(found) if isinstance(x, torch.Tensor))
        self.bytes = max(self.bytes, *sizes, 0)
        return found


def room(loss, n, d):
    """Elements of the largest tensor of a step on n pairs, and of all that the forward pass keeps for the backward one."""
    z, kept = pairs(n, d), []
    with Largest() as largest, saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        loss(*z, 0.1).backward()
    return largest.bytes // 4, sum(kept)


def difference(ours, exact):
    """Frobenius, relative."""
    a, b = (torch.cat(parts).double() for parts in (ours, exact))
    return float((a - b).norm() / b.norm())


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of at most five: many of them, of unequal sides."""
    monkeypatch.setattr(info_nce, "TILE", {"cpu": 5})


@pytest.mark.parametrize("n", [2, 7])
def test_orthonormal_pairs(n):
    z = torch.eye(n, dtype=torch.float64)
    expected = math.log1p((2 * n - 2) * math.exp(-10))
    assert nt_xent(z, z).item() == pytest.approx(expected, rel=1e-12)
    assert n > 2 or nt_xent(z, z).item() == pytest.approx(9.08e-5, abs=5e-8)  # methods, oracle 3


def test_of_a_collapse_only_the_number_of_pairs_is_left():
    z = torch.tensor([[1.0, 0.0]]).expand(10_000, 2)
    assert nt_xent(z, z).item() == pytest.approx(math.log(19_999), abs=2e-6)
    assert math.log(19_999) == pytest.approx(9.90344, abs=1e-5)


def test_one_pair_has_no_negatives_and_nothing_to_learn():
    z1, z2 = pairs(1)
    loss = nt_xent(z1, z2)
    assert loss.item() == 0
    assert not any(g.any() for g in torch.autograd.grad(loss, (z1, z2)))


@pytest.mark.parametrize("tau", [0.03, 0.1, 1.0])
@pytest.mark.parametrize("n", [3, 64, 1100])
def test_equals_the_whole_matrix_in_double_precision(n, tau):
    z = pairs(n)
    exact = [x.detach().double().requires_grad_() for x in z]
    ours, slow = nt_xent(*z, tau), full(*exact, tau)
    torch.testing.assert_close(ours.double(), slow, rtol=1e-5, atol=1e-6)
    assert difference(torch.autograd.grad(ours, z), torch.autograd.grad(slow, exact)) < 1e-5


def test_a_loss_near_zero_keeps_its_gradient_in_single_precision():
    z = pairs(8, d=64, noise=0.0)
    exact = [x.detach().double().requires_grad_() for x in z]
    ours, slow = nt_xent(*z, 0.05), full(*exact, 0.05)
    assert slow < 1e-3
    assert difference(torch.autograd.grad(ours, z), torch.autograd.grad(slow, exact)) < 1e-5


def test_no_tensor_grows_with_the_square_of_the_pairs():
    d = 16
    small, large = (room(nt_xent, n, d) for n in (3000, 6000))
    assert large[0] <= 2 * small[0] < 2 * 64 * 6000 * d < 6000**2  # the whole matrix of the smaller one
    assert [small[1], large[1]] == [6000 * d, 12_000 * d]
    assert room(full, 500, d)[0] == 1000**2


def test_equals_the_whole_matrix_at_ten_thousand_pairs_where_it_is_looked_at():
    """The textbook gradient, (p_ij + p_ji) z_j summed over j less twice the other of the pair, of rows from both views."""
    n, tau = 10_000, 0.1
    z = pairs(n)
    loss = nt_xent(*z, tau)
    ours = torch.cat(torch.autograd.grad(loss, z))
    every = torch.cat([x.detach() for x in z])
    partner = every.roll(n, 0)
    mass = torch.cat([(part @ every.T / tau).exp_().sum(1) for part in every.split(50)]) - math.exp(1 / tau)
    rows = torch.tensor([0, 1, 1023, 1024, 5000, 9999, 10_000, 13_333, 19_999])
    p = (every[rows] @ every.T / tau).exp()
    p = (p / mass[rows, None] + p / mass).scatter(1, rows[:, None], 0)
    exact = (p @ every - 2 * partner[rows]) / (2 * n * tau)
    torch.testing.assert_close(loss, (mass.log() - (every * partner).sum(1) / tau).mean(), rtol=1e-4, atol=0)
    assert difference([ours[rows]], [exact]) < 1e-4


@pytest.mark.parametrize("n", [4, 5, 6, 13])
def test_the_cuts_do_not_matter(n, small_tiles):
    z = pairs(n, dtype=torch.float64)
    ours, slow = nt_xent(*z), full(*z, 0.1)
    torch.testing.assert_close(ours, slow)
    assert difference(torch.autograd.grad(ours, z), torch.autograd.grad(slow, z)) < 1e-12


def test_the_gradient_is_the_slope(small_tiles):
    torch.autograd.gradcheck(lambda *z: nt_xent(*z, 0.5), pairs(6, d=4, dtype=torch.float64))


def test_views_may_change_places_and_pairs_their_order():
    z1, z2 = pairs(20, dtype=torch.float64)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    assert nt_xent(z1, z2).item() == pytest.approx(nt_xent(z2, z1).item(), rel=1e-12)
    assert nt_xent(z1, z2).item() == pytest.approx(nt_xent(z1[order], z2[order]).item(), rel=1e-12)
    assert nt_xent(z1, z2).item() != pytest.approx(nt_xent(z1, z2[order]).item(), rel=0.1)


def test_only_who_asks_gets_a_gradient():
    z1, z2 = pairs(9)
    both = torch.autograd.grad(nt_xent(z1, z2), (z1, z2))
    assert torch.equal(torch.autograd.grad(nt_xent(z1.detach(), z2), z2)[0], both[1])
    with torch.no_grad():
        silent = nt_xent(z1, z2)
    assert not silent.requires_grad
    assert silent == nt_xent(z1, z2)


def test_bf16_vectors_and_autocast_leave_the_sums_in_single_precision():
    z = pairs(300, d=128)
    half = [x.detach().bfloat16().requires_grad_() for x in z]
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(*half)
    gradients = torch.autograd.grad(loss, half)
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"
    assert (loss.dtype, gradients[0].dtype) == (torch.float32, torch.bfloat16)
    exact = [x.detach().double().requires_grad_() for x in half]
    assert difference(gradients, torch.autograd.grad(full(*exact, 0.1), exact)) < 5e-3


def test_what_is_not_a_number_is_not_hidden():
    z1, z2 = pairs(5)
    assert torch.isnan(nt_xent(z1, torch.cat([z2[:4], z2[4:] * torch.nan])))


def test_a_temperature_beyond_single_precision_is_refused():
    with pytest.raises(SettingError, match=r"temperature 0\.01"):
        nt_xent(*pairs(3), 0.01)


def test_factors_rounded_as_bf16_units_do_move_gradients_little(monkeypatch):
    rows = info_nce._Tiles._rows
    monkeypatch.setattr(info_nce._Tiles, "_rows", lambda self, block: rows(self, block).bfloat16().float())
    z = pairs(300, d=128)
    exact = [x.detach().double().requires_grad_() for x in z]
    found = difference(torch.autograd.grad(nt_xent(*z), z), torch.autograd.grad(full(*exact, 0.1), exact))
    assert 1e-5 < found < 5e-3
