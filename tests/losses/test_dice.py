import pytest
import torch

from vesalius.losses.dice import soft_dice


def masks():
    return (torch.rand(3, 2, 9, 9, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def test_perfect_is_nearly_zero_and_the_opposite_nearly_one():
    g = masks()
    assert soft_dice(100 * (2 * g - 1), g) < 1e-6
    assert soft_dice(-100 * (2 * g - 1), g) == pytest.approx(1, abs=0.01)


def test_is_the_closed_form_over_the_flattened_batch():
    g, logits = masks(), torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(1))
    p = logits.sigmoid()
    slow = [(2 * (p[:, k] * g[:, k]).sum() + 1) / (p[:, k].sum() + g[:, k].sum() + 1) for k in range(2)]
    torch.testing.assert_close(soft_dice(logits, g), 1 - torch.stack(slow).mean())


def test_what_is_unknown_has_no_gradient():
    logits = torch.randn(3, 2, 9, 9, requires_grad=True)
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    soft_dice(logits, masks(), known).backward()
    assert logits.grad[1, 1].abs().sum() == 0
    assert logits.grad[1, 0].abs().sum() > 0
