import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from vesalius.errors import SettingError
from vesalius.losses.info_nce import info_nce, instance_accuracy, pruned_info_nce
from vesalius.losses.pruner import keep


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def at(*cosines):
    """Unit vectors in the plane at these cosines to (1, 0)."""
    return torch.tensor([[c, math.sqrt(1 - c * c)] for c in cosines])


def gradients(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


def scene(n=7, keys=17001, d=4, dtype=torch.float32):
    """q, k that want gradients and a bank of more than two blocks, of which in 4-D about a tenth is above 0.6."""
    q, k, bank = (unit(*shape, seed=i).to(dtype) for i, shape in enumerate([(n, d), (n, d), (keys, d)]))
    return q.requires_grad_(), k.requires_grad_(), bank


@pytest.mark.parametrize(("gamma", "expected"), [(0.8, 0.136665), (2.0, 0.655053), (None, 0.655053)])
def test_the_worked_example(gamma, expected):
    """Oracle 1: positive .9, itself above gamma; negatives .85, .5, 0."""
    q, k, bank = at(1.0), at(0.9), at(0.85, 0.5, 0.0)
    fused, kept = pruned_info_nce(q, k, bank, gamma, 0.2)
    assert fused.item() == pytest.approx(expected, abs=1e-6)
    assert info_nce(q, k, bank, 0.2, keep(q, bank, gamma or 2.0)).item() == pytest.approx(expected, abs=1e-6)
    assert kept.tolist() == [2 if gamma == 0.8 else 3]


@pytest.mark.parametrize("tau", [0.05, 0.2])
def test_equal_cosines_give_the_log_of_their_number(tau):
    """Oracle 2: log(K + 1)."""
    q = at(1.0, 1.0)
    loss, kept = pruned_info_nce(q, q, q[:1].expand(65_536, 2), 2.0, tau)
    assert loss.item() == pytest.approx(math.log(65_537), rel=1e-6)
    assert loss.item() == pytest.approx(11.090370, abs=1e-5)
    assert kept.tolist() == [65_536, 65_536]


def test_all_pruned_is_exactly_zero_and_teaches_nothing():
    """Oracle 2, second half."""
    q, k = at(1.0, 0.9).requires_grad_(), at(0.7, -1.0).requires_grad_()
    loss, kept = pruned_info_nce(q, k, at(0.99, 0.98, 0.97), 0.5, 0.2)
    assert loss.item() == 0
    assert kept.tolist() == [0, 0]
    assert not any(g.any() for g in gradients(loss, q, k))


@pytest.mark.parametrize("gamma", [None, 1.1])
def test_without_pruning_it_is_mocos_cross_entropy(gamma):
    """Oracle 3: gamma above 1."""
    q, k, bank = scene()
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ bank.T], 1) / 0.2
    moco = cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
    fused = pruned_info_nce(q, k, bank, gamma, 0.2)[0]
    torch.testing.assert_close(fused, moco)
    for ours, theirs in zip(gradients(fused, q, k), gradients(moco, q, k), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_masking_is_the_softmax_of_the_subset():
    """Oracle 3: one anchor at a time, with only the negatives that stay."""
    q, k, bank = scene()
    kept = keep(q, bank, 0.6)
    plain = info_nce(q, k, bank, 0.2, kept)
    for i in range(len(q)):
        logits = torch.cat([(q[i] @ k[i])[None], bank[kept[i]] @ q[i]]) / 0.2
        torch.testing.assert_close(plain[i], cross_entropy(logits[None], torch.zeros(1, dtype=torch.long)))


@pytest.mark.parametrize("gamma", [None, 0.9, 0.6, 0.0, -0.9])
@pytest.mark.parametrize("tau", [0.03, 0.2, 1.0])
def test_fused_equals_plain_in_double_precision(gamma, tau):
    q, k, bank = scene()
    fused, kept = pruned_info_nce(q, k, bank, gamma, tau)
    exact = [x.detach().double().requires_grad_() for x in (q, k)]
    mask = keep(q.detach(), bank, 2.0 if gamma is None else gamma)
    plain = info_nce(*exact, bank.double(), tau, mask).mean()
    assert torch.equal(kept, mask.sum(1))
    torch.testing.assert_close(fused.double(), plain, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(gradients(fused, q, k), gradients(plain, *exact), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5 * max(1.0, float(theirs.abs().max())))


def test_only_who_asks_gets_a_gradient():
    q, k, bank = scene()
    to_q = gradients(pruned_info_nce(q, k.detach(), bank, 0.6, 0.2)[0], q)[0]
    torch.testing.assert_close(to_q, gradients(pruned_info_nce(q, k, bank, 0.6, 0.2)[0], q)[0])
    with torch.no_grad():
        silent = pruned_info_nce(q, k, bank, 0.6, 0.2)[0]
    assert not silent.requires_grad
    assert silent == pruned_info_nce(q, k, bank, 0.6, 0.2)[0]
    assert not pruned_info_nce(q, k, bank.requires_grad_(), 0.6, 0.2)[1].requires_grad
    assert torch.autograd.grad(pruned_info_nce(q, k, bank, 0.6, 0.2)[0], bank, allow_unused=True) == (None,)


def test_the_gradient_is_the_slope():
    q, k, bank = scene(n=2, keys=50)
    loss = pruned_info_nce(q, k, bank, None, 0.5)[0]
    to_q, to_k = gradients(loss, q, k)
    step = 1e-2 * unit(2, 4, seed=9)
    ahead, behind = (info_nce(q + s * step, k + s * step, bank, 0.5).mean() for s in (1, -1))
    assert ((ahead - behind) / 2).item() == pytest.approx(float(((to_q + to_k) * step).sum()), rel=1e-2)


def test_autocast_does_not_reach_the_loss():
    q, k, bank = scene()
    plain = pruned_info_nce(q, k, bank, 0.6, 0.2)[0]
    with torch.autocast("cpu", torch.bfloat16):
        under = pruned_info_nce(q, k, bank, 0.6, 0.2)[0]
        to_q, _ = gradients(under, q, k)
    assert under == plain
    assert torch.equal(to_q, gradients(plain, q, k)[0])


def test_half_precision_inputs_get_gradients_in_their_own_type():
    q, k, bank = scene()
    half = q.detach().bfloat16().requires_grad_()
    loss, _ = pruned_info_nce(half, k, bank, 0.6, 0.2)
    assert loss.dtype == torch.float32
    assert gradients(loss, half)[0].dtype == torch.bfloat16


def test_neither_the_order_nor_the_blocks_of_the_bank_matter():
    q, k, bank = scene()
    once = pruned_info_nce(q, k, bank, 0.6, 0.2)
    again = pruned_info_nce(q, k, bank.flip(0), 0.6, 0.2)
    torch.testing.assert_close(once, again)


def test_what_is_not_a_number_is_not_hidden():
    q, k, bank = scene()
    bank[3] = torch.nan
    assert torch.isnan(pruned_info_nce(q, k, bank, 0.6, 0.2)[0])


def test_a_temperature_beyond_fp32_is_refused():
    with pytest.raises(SettingError, match=r"temperature 0\.01"):
        pruned_info_nce(*scene(), 0.8, 0.01)


def test_instance_accuracy_counts_anchors_nearest_to_their_own_key() -> None:
    bank = torch.eye(4)[:2]
    q, k = torch.eye(4)[[2, 0]], torch.eye(4)[[2, 3]]  # the first meets its key, the second a negative
    assert instance_accuracy(q, k, bank) == 0.5
