"""The rate of each step: warm-up, cosine and constant, at their ends."""

import pytest

from vesalius.methods import pcrlv2
from vesalius.train.optim import rate
from vesalius.train.run import Optim


def test_the_cosine_of_pcrlv2_ends_at_0_and_is_half_in_the_middle() -> None:
    optim, epochs = Optim(**pcrlv2.DEFAULTS["optim"]), pcrlv2.DEFAULTS["epochs"]
    assert rate(optim, 0, 5, epochs) == 0.01
    assert rate(optim, 5 * 120, 5, epochs) == pytest.approx(0.005)
    assert rate(optim, 5 * 240, 5, epochs) == pytest.approx(0)  # so that the code's 241st epoch would learn nothing
    assert rate(optim, 5 * 120 + 4, 5, epochs) == rate(optim, 5 * 120, 5, epochs)  # by epochs, as MoCo-v2
    assert all(rate(optim, t, 5, epochs) >= rate(optim, t + 1, 5, epochs) for t in range(5 * 240))


def test_it_warms_up_by_steps_and_a_constant_rate_stays() -> None:
    optim = Optim(lr=0.3, warmup_epochs=2.0, schedule="constant")
    warm = [rate(optim, t, 5, 20) for t in range(11)]
    assert warm[:10] == pytest.approx([0.3 * (t + 1) / 11 for t in range(10)])
    assert {rate(optim, t, 5, 20) for t in range(10, 100)} == {0.3}
