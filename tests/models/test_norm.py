import copy

import pytest
import torch
from torch import nn

from vesalius.chance import permutation
from vesalius.errors import SettingError
from vesalius.models.norm import GroupedBatchNorm, check, convert, shuffle, unrecorded, unshuffle
from vesalius.models.resnet import resnet

KINDS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def pair(groups, ndim=2, **settings):
    """A batch norm of torch's and ours, of equal parameters away from 1 and 0."""
    plain = KINDS[ndim](3, **settings)
    with torch.no_grad():
        plain.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        plain.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    return plain, convert(copy.deepcopy(plain), groups)


def test_one_group_on_one_process_is_torchs_own():
    net = resnet(18)
    assert convert(net, 1) is net
    assert not any(isinstance(m, GroupedBatchNorm) for m in net.modules())


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_each_group_is_normalised_alone(ndim):
    plain, ours = pair(4, ndim)
    x = torch.randn(8, 3, *(5, 4, 3)[:ndim]) * torch.arange(1, 9).view(-1, *[1] * (ndim + 1))
    expected = torch.cat([copy.deepcopy(plain)(part) for part in x.split(2)])
    assert torch.equal(ours(x), expected)


def test_gradients_are_those_of_each_group_alone():
    plain, ours = pair(2)
    x = torch.randn(6, 3, 4, 4)
    target = torch.randn_like(x)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    (ours(a) * target).sum().backward()
    (torch.cat([plain(part) for part in b.split(3)]) * target).sum().backward()
    torch.testing.assert_close(a.grad, b.grad)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_the_mean_over_groups(momentum):
    plain, ours = pair(4, momentum=momentum)
    each = [copy.deepcopy(plain) for _ in range(4)]
    for _ in range(3):
        x = torch.randn(8, 3, 4, 4) * 3 + 1
        ours(x)
        for one, part in zip(each, x.split(2), strict=True):
            one(part)
    torch.testing.assert_close(ours.running_mean, torch.stack([one.running_mean for one in each]).mean(0))
    torch.testing.assert_close(ours.running_var, torch.stack([one.running_var for one in each]).mean(0))
    assert ours.num_batches_tracked == 3


def test_eval_and_state_dict_are_torchs():
    plain, ours = pair(2)
    plain(torch.randn(4, 3, 5, 5) + 2)
    ours.load_state_dict(plain.state_dict())
    assert list(ours.state_dict()) == list(plain.state_dict())
    before, x = copy.deepcopy(ours.state_dict()), torch.randn(3, 3, 2, 2)
    assert torch.equal(ours.eval()(x), plain.eval()(x))
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


def test_convert_keeps_parameters_keys_and_mode():
    net = resnet(18).eval()
    keys, parameters = list(net.state_dict()), list(net.parameters())
    convert(net, 2)
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 20
    assert all(isinstance(m, GroupedBatchNorm) and m.groups == 2 and not m.training for m in norms)
    assert list(net.state_dict()) == keys
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))


def test_a_converted_network_survives_a_deep_copy():
    net = convert(resnet(18), 2)
    assert all(m.groups == 2 for m in copy.deepcopy(net).modules() if isinstance(m, GroupedBatchNorm))


@pytest.mark.parametrize("groups", [1, 2])
def test_what_is_not_recorded_is_normalised_all_the_same(groups):
    _, ours = pair(groups)
    x = torch.randn(4, 3, 5, 5) * 3 + 1
    expected = ours(x)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with unrecorded(ours):
        torch.testing.assert_close(ours(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())
    ours(x)
    assert not torch.equal(ours.running_mean, before["running_mean"])


def test_half_precision_and_channels_last_pass_through():
    _, ours = pair(2)
    x = torch.randn(4, 3, 6, 6).bfloat16().contiguous(memory_format=torch.channels_last)
    y = ours(x)
    assert y.dtype == torch.bfloat16
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert ours.running_mean.dtype == torch.float32


@pytest.mark.parametrize(("groups", "n", "processes"), [(0, 8, 1), (3, 8, 1), (3, 8, 2), (4, 3, 2)])
def test_groups_that_do_not_fit_are_refused(groups, n, processes):
    with pytest.raises(SettingError, match="batch norm groups"):
        check(groups, n, processes)


def test_a_batch_that_does_not_split_is_refused():
    _, ours = pair(4)
    with pytest.raises(SettingError, match="4 batch norm groups"):
        ours(torch.randn(6, 3, 2, 2))


def test_unshuffle_undoes_shuffle():
    x, order = torch.randn(12, 3, 2), permutation(12, 0, 5)
    moved = shuffle(x, order)
    assert torch.equal(moved, x[order.tolist()])
    assert torch.equal(unshuffle(moved, order), x)


def test_shuffled_keys_meet_other_statistics_but_return_to_their_rows():
    """A key's norm depends on its group; which group that is depends on the permutation, its row does not."""
    _, ours = pair(2)
    x, order = torch.randn(8, 3, 4, 4), torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])
    y = unshuffle(ours(shuffle(x, order)), order)
    evens, odds = ours(x[[0, 4, 1, 5, 2, 6, 3, 7]]).split(4)
    torch.testing.assert_close(y[[0, 4, 1, 5]], evens)
    torch.testing.assert_close(y[[2, 6, 3, 7]], odds)
    assert not torch.allclose(y, ours(x))


def test_a_permutation_of_another_batch_is_refused():
    with pytest.raises(ValueError, match="cannot shuffle"):
        shuffle(torch.randn(4, 2), permutation(5, 0))
