"""The loss of restoration: its weight along the run, its zero, and its closed form."""

import pytest
import torch

from vesalius.losses.restore import beta, restoration, squared_error


@pytest.mark.parametrize(("epoch", "weight"), [(0, 1), (80, 0.75), (120, 0.5), (160, 0.25), (240, 0)])
def test_the_weight_of_coarse_scales_falls_as_half_a_cosine(epoch: int, weight: float) -> None:
    assert beta(epoch / 240) == pytest.approx(weight, abs=1e-12)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_beyond_the_run_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match="progress"):
        beta(progress)


def test_a_perfect_restoration_costs_nothing() -> None:
    y = torch.rand(2, 1, 4, 5)
    assert restoration(y.expand(-1, 3, -1, -1), [y, y], y, 0.7) == 0


def test_constant_errors_add_up_as_they_should() -> None:
    y = torch.rand(2, 3, 4, 5, 6, dtype=torch.float64)
    loss = restoration(y + 2, [y - 1, y + 3], y, 0.5)
    assert loss.item() == pytest.approx(4 + 0.5 * (1 + 9) / 2)
    assert restoration(y + 2, [], y, 0.5).item() == pytest.approx(4)


def test_a_grey_image_is_compared_with_every_channel_in_single_precision() -> None:
    y = torch.rand(2, 1, 4, 5)
    restored = torch.rand(2, 3, 4, 5)
    slow = torch.nn.functional.mse_loss(restored, y.repeat(1, 3, 1, 1))
    torch.testing.assert_close(squared_error(restored, y), slow)
    assert squared_error(restored.bfloat16(), y).dtype == torch.float32
