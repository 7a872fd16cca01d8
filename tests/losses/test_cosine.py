"""D of the siamese comparison: its ends, its symmetry, its gradients, and a slow version."""

import pytest
import torch

from vesalius.losses.cosine import distance


def vectors(n: int, *shape: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(n)]


def test_equal_directions_give_minus_one_opposite_ones_plus_one() -> None:
    (z,) = vectors(1, 7, 5)
    assert distance(z, 3 * z, 2 * z, z).item() == pytest.approx(-1)
    assert distance(-z, z, -z, z).item() == pytest.approx(1)
    assert distance(-z, z, z, z).item() == pytest.approx(0)


def test_equals_the_slow_version_and_is_symmetric() -> None:
    p_a, z_a, p_b, z_b = vectors(4, 7, 5)
    cos = torch.nn.functional.cosine_similarity
    slow = sum(-(cos(p_a[i], z_b[i], 0) + cos(p_b[i], z_a[i], 0)) / 2 for i in range(7)) / 7
    torch.testing.assert_close(distance(p_a, z_a, p_b, z_b), slow)
    torch.testing.assert_close(distance(p_b, z_b, p_a, z_a), slow)


def test_no_gradient_reaches_the_targets() -> None:
    p_a, z_a, p_b, z_b = vectors(4, 7, 5)
    distance(p_a, z_a, p_b, z_b).backward()
    assert z_a.grad is None
    assert z_b.grad is None
    assert p_a.grad.norm() > 0
    assert p_b.grad.norm() > 0


def test_many_views_at_once_are_each_on_their_own() -> None:
    p, z = vectors(2, 2, 1, 7, 5)
    q, y = vectors(2, 3, 7, 5)
    found = distance(p, z, q, y)
    assert found.shape == (2, 3)
    torch.testing.assert_close(found[1, 2], distance(p[1, 0], z[1, 0], q[2], y[2]))


def test_half_precision_is_compared_in_single() -> None:
    p, z = (x.detach().bfloat16() for x in vectors(2, 4, 8))
    assert distance(p, z, p, z).dtype == torch.float32
