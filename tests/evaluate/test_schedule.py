import math

import pytest
import torch
from torch import nn

from vesalius.evaluate.schedule import optimiser, pace, rates


def test_the_ramp_is_the_trace_that_vox2vec_gives():
    """Frozen for 15,000 of 45,000 steps; over 1,200 more the rate doubles every 300."""
    at = [0, 14_999, 15_000, 15_299, 15_300, 15_600, 15_900, 16_199, 16_200, 44_999]
    trace = [rates(step, 45_000, 3e-4, 15_000 / 45_000, 1_200 / 45_000, constant=True) for step in at]
    expected = [0, 0, 3e-5, 3e-5, 6e-5, 1.2e-4, 2.4e-4, 2.4e-4, 3e-4, 3e-4]
    assert [backbone for backbone, _ in trace] == pytest.approx(expected)
    assert {head for _, head in trace} == {3e-4}


@pytest.mark.parametrize("steps", [1, 7, 30, 45, 400])
def test_each_ramp_starts_at_the_tenth_in_the_first_step_that_is_not_frozen_and_never_falls(steps):
    for frozen in (0.1, 1 / 3, 0.5):
        found = [rates(step, steps, 1.0, frozen, 0.2, constant=True)[0] for step in range(steps)]
        learning = [rate for rate in found if rate]
        assert len(found) - len(learning) == sum(step < frozen * steps for step in range(steps))
        assert learning == sorted(learning)
        assert not learning or learning[0] == 0.1


def test_without_ramp_both_fall_as_half_a_cosine():
    for step in range(10):
        expected = 1e-3 * math.cos(math.pi * step / 20) ** 2
        assert rates(step, 10, 1e-3) == pytest.approx((expected, expected))


def test_a_rate_of_zero_freezes_weights_and_statistics_of_the_backbone_alone():
    backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    network = nn.Sequential(backbone, nn.Linear(4, 1))
    adam = optimiser(network, backbone)
    for now, moves in ((0.0, False), (0.01, True)):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        pace(adam, backbone, (now, 0.1))
        adam.zero_grad()
        network(torch.randn(8, 3)).square().mean().backward()
        adam.step()
        same = {name: torch.equal(value, before[name]) for name, value in network.state_dict().items()}
        assert not same["1.weight"]
        assert {same[name] for name in same if name.startswith("0.")} == {not moves}
