import pytest
import torch
from torch import nn

from vesalius.models.ema import follow, slow_copy


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4), nn.Linear(5, 2))


def test_after_t_steps_of_a_constant_network_it_is_the_closed_form():
    fast, slow, m, t = network(0), network(1), 0.9, 25
    start = [p.detach().clone() for p in slow.parameters()]
    for _ in range(t):
        follow(slow, fast, m)
    for now, first, theta in zip(slow.parameters(), start, fast.parameters(), strict=True):
        torch.testing.assert_close(now, m**t * first + (1 - m**t) * theta)


def test_batch_statistics_stay_its_own():
    fast, slow = network(0), network(0)
    fast(torch.randn(8, 3, 6))
    follow(slow, fast, 0.0)
    assert not slow[1].running_mean.any()
    assert slow[1].num_batches_tracked == 0
    assert all(torch.equal(a, b) for a, b in zip(slow.parameters(), fast.parameters(), strict=True))


def test_following_leaves_no_trace_in_the_gradient():
    fast = network()
    slow = slow_copy(fast)
    follow(slow, fast, 0.5)
    assert not any(p.requires_grad for p in slow.parameters())
    assert all(p.requires_grad and p.is_leaf for p in fast.parameters())


def test_the_copy_is_equal_and_apart():
    fast = network()
    slow = slow_copy(fast)
    with torch.no_grad():
        fast[0].bias.add_(1)
    assert torch.equal(slow[0].weight, fast[0].weight)
    torch.testing.assert_close(slow[0].bias + 1, fast[0].bias)


def test_another_network_cannot_be_followed():
    with pytest.raises(ValueError, match="cannot follow"):
        follow(network(), network()[:1], 0.5)
