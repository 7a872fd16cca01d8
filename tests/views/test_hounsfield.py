"""vox2vec's augmentations against scipy, sample by sample; the ranges that are drawn; nothing where nothing is drawn."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.stats import kstest

from vesalius.chance import generator
from vesalius.views.augment import apply_all, draw_all
from vesalius.views.hounsfield import SEEDS, BlurOrSharpen, InHounsfield, Noise, Window

ROW = (InHounsfield(), BlurOrSharpen(), Noise(), Window())
SHAPES = [(1, 33, 20), (3, 16, 24), (1, 40, 17, 6), (1, 9, 8, 5)]
DRAWS = ((0, 0), (0.25, 0), (1.5, 0), (0.5, 10), (0.8, 17.5), (1.0, 30))


def volumes(n: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(-1024, 2000, (n, *shape), generator=source).to(torch.int16)


def drawn(augmentation, n: int = 4000) -> np.ndarray:
    rng = generator(0)
    return np.array([augmentation.draw(rng, 3) for _ in range(n)])


def blurred(x: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter1d(gaussian_filter1d(x, sigma, 1), sigma, 2)  # axis 0 holds the channels


def slow(x: np.ndarray, sigma: float, alpha: float) -> np.ndarray:
    """One sample (C, *S), as the paper's code is specified."""
    if not sigma:
        return x
    b = blurred(x, sigma)
    return b + alpha * (b - blurred(b, 0.5))


@pytest.mark.parametrize("shape", SHAPES)
def test_blur_and_sharpening_agree_with_scipy(shape: tuple[int, ...]) -> None:
    x = volumes(len(DRAWS), shape).float()
    ours = BlurOrSharpen().apply(x, torch.tensor(DRAWS)).numpy()
    for sample, found, (sigma, alpha) in zip(x.double().numpy(), ours, DRAWS, strict=True):
        np.testing.assert_allclose(found, slow(sample, sigma, alpha), rtol=0, atol=0.05 if alpha else 2e-3)
    assert np.array_equal(ours[0], x[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_in_one_call_is_its_samples_one_by_one(shape: tuple[int, ...]) -> None:
    x, rng = volumes(8, shape), generator(1)
    draw = torch.from_numpy(np.stack([draw_all(ROW, rng, len(shape) - 1) for _ in x]))
    each = apply_all(ROW, x, draw)
    own = torch.split(draw, [a.width for a in ROW], 1)
    together = x.clone()
    for augmentation, params in zip(ROW, own, strict=True):  # as on a GPU
        together = augmentation.change(together, *augmentation.terms(params, shape))
    torch.testing.assert_close(together, each, rtol=0, atol=1e-4)
    torch.testing.assert_close(apply_all(ROW, x[3:5], draw[3:5]), each[3:5], rtol=0, atol=0)


def test_what_blur_and_sharpening_draw() -> None:
    sigma, alpha = drawn(BlurOrSharpen()).T
    assert (sigma == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert (alpha[sigma > 0] > 0).mean() == pytest.approx(0.5, abs=0.04)
    blur, first = sigma[(sigma > 0) & (alpha == 0)], sigma[alpha > 0]
    for values, low, high in ((blur, 0.25, 1.5), (first, 0.5, 1.0), (alpha[alpha > 0], 10, 30)):
        assert kstest((values - low) / (high - low), "uniform").pvalue > 1e-3


def test_noise_is_normal_and_follows_its_seed_alone() -> None:
    x = torch.zeros(4, 1, 30, 40, 8)
    made = Noise().apply(x, torch.tensor([[20.0, 5], [10, 5], [20, 6], [0, 5]]))
    assert kstest(made[0].flatten() / 20, "norm").pvalue > 1e-3
    torch.testing.assert_close(made[0], 2 * made[1])
    assert abs(np.corrcoef(made[0].flatten(), made[2].flatten())[0, 1]) < 0.05
    assert torch.equal(made[3], x[3])


def test_what_noise_and_window_draw() -> None:
    sigma, seed = drawn(Noise()).T
    assert (sigma == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert kstest(sigma[sigma > 0] / 30, "uniform").pvalue > 1e-3
    assert np.array_equal(seed, seed.astype(np.float32))
    assert kstest(seed[sigma > 0] / SEEDS, "uniform").pvalue > 1e-3
    low, high = drawn(Window()).T
    widest = (low == -1350) & (high == 1000)
    assert widest.mean() == pytest.approx(0.2, abs=0.03)
    assert kstest((low[~widest] + 1350) / 350, "uniform").pvalue > 1e-3
    assert kstest((high[~widest] - 300) / 700, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_agree_with_numpy(shape: tuple[int, ...]) -> None:
    x, levels = volumes(3, shape), np.array([(-1350, 1000), (-1000, 300), (-1100.5, 512.25)], np.float32)
    ours = apply_all((InHounsfield(), Window()), x, torch.from_numpy(levels)).numpy()
    for sample, found, (low, high) in zip(x.numpy(), ours, levels, strict=True):
        np.testing.assert_allclose(found, np.clip((sample - low) / (high - low), 0, 1), atol=1e-6)


def test_an_image_in_0_to_1_spans_the_widest_window() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    hounsfield = InHounsfield().apply(grey, torch.zeros(1, 0))
    torch.testing.assert_close(hounsfield, -1350 + 2350 * (grey / 255))
    untouched = torch.tensor([[0.0, 0, 0, 0, -1350, 1000]])
    torch.testing.assert_close(apply_all(ROW, grey, untouched), grey / 255, atol=1e-6, rtol=0)
