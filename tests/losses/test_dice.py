import pytest
import torch

from vesalius.losses.dice import entropy_and_dice, soft_dice, squared_dice


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


def test_squared_dice_is_the_closed_form_of_every_image_and_structure():
    g, logits = masks(), torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(1))
    p = logits.sigmoid()
    slow = [
        1 - 2 * (p[b, k] * g[b, k]).sum() / ((p[b, k] ** 2).sum() + (g[b, k] ** 2).sum() + 1)
        for b in range(3)
        for k in range(2)
    ]
    torch.testing.assert_close(squared_dice(logits, g), torch.stack(slow).mean())


def test_squared_dice_of_what_is_perfect_is_nearly_zero_and_of_empty_against_empty_one():
    g = masks()
    assert squared_dice(100 * (2 * g - 1), g) < 0.02  # 1 / (2 n + 1) of n voxels
    assert squared_dice(torch.full((3, 2, 9, 9), -100.0), torch.zeros_like(g)) == 1  # methods, vox2vec oracle 7


def test_the_sum_with_cross_entropy_ignores_what_is_unknown():
    g, logits = masks(), torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(1), requires_grad=True)
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    loss = entropy_and_dice(logits, g, known)
    pairs = [(0, 0), (0, 1), (1, 0)]
    alone = [entropy_and_dice(logits[b, k][None, None], g[b, k][None, None]) for b, k in pairs]
    torch.testing.assert_close(loss, torch.stack(alone).mean())
    loss.backward()
    assert logits.grad[1, 1].abs().sum() == logits.grad[2].abs().sum() == 0
    assert entropy_and_dice(logits, g, torch.zeros(3, 2)) == 0
