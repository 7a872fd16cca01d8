"""Blur by axis, gamma and normalisation against scipy; whole rows in batches; targets that distortion leaves alone."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from vesalius.chance import generator
from vesalius.views.augment import Augmentation, apply_all, draw_all
from vesalius.views.distort import IMAGENET, AxisBlur, Gamma, Normalise, ZNormalise
from vesalius.views.hounsfield import Noise
from vesalius.views.intensity import ColorJitter, GaussianBlur, RandomGrayscale, ToUnit
from vesalius.views.patches import CutOut, LocalShuffle, Paint, SwapPatches
from vesalius.views.spatial import Affine, HorizontalFlip, Rotation

Row = tuple[Augmentation, ...]
PLACE: dict[int, Row] = {2: (HorizontalFlip(), Rotation(10)), 3: (HorizontalFlip(), Affine())}
VALUES: dict[int, Row] = {
    2: (RandomGrayscale(), GaussianBlur(), ColorJitter(hue=0.4, p=1), Normalise(), CutOut(8, 3)),
    3: (AxisBlur(), Noise((0.0, 0.25), p=1.0), Gamma(), SwapPatches(), ZNormalise()),
}
GENESIS: Row = (LocalShuffle(), Paint())
SHAPES = [(1, 40, 33), (3, 33, 40), (1, 20, 12, 16), (2, 17, 9, 10)]


def images(n: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


def drawn(row: Row, n: int, ndim: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.stack([draw_all(row, generator(seed, i), ndim) for i in range(n)]))


@pytest.mark.parametrize("shape", SHAPES)
def test_blur_by_axis_agrees_with_scipy(shape: tuple[int, ...]) -> None:
    sigmas = [(0.0, 0.0, 0.0), (0.3, 1.7, 0.9), (2.0, 2.0, 2.0), (1e-5, 0.6, 1.1)]
    x = images(4, shape)
    ours = AxisBlur().apply(x, torch.tensor(sigmas)).numpy()
    for sample, blurred, sigma in zip(x.numpy(), ours, sigmas, strict=True):
        expected = gaussian_filter(sample, (0, *sigma[: len(shape) - 1]), truncate=4)
        np.testing.assert_allclose(blurred, expected, atol=1e-5)


def test_gamma_is_a_power_that_keeps_signs() -> None:
    x, gammas = images(3, (2, 9, 8)) - 0.5, torch.tensor([[0.75], [1.0], [1.35]])
    expected = x.sign() * x.abs() ** gammas.view(3, 1, 1, 1)
    torch.testing.assert_close(Gamma().apply(x, gammas), expected, atol=1e-6, rtol=0)
    assert not Gamma().apply(torch.zeros(1, 1, 4, 4), gammas[:1]).any()


def test_z_normalised_samples_have_mean_0_and_variance_1_and_a_constant_becomes_nothing() -> None:
    made = ZNormalise().apply(images(3, (2, 9, 8, 7)) * 30 - 4, torch.zeros(3, 0)).flatten(1)
    torch.testing.assert_close(made.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.var(1, correction=0), torch.ones(3))
    assert not ZNormalise().apply(torch.full((2, 1, 5, 5), 0.3), torch.zeros(2, 0)).any()


def test_normalisation_is_that_of_imagenet_and_grey_is_alike_in_one_channel_and_three() -> None:
    x = images(2, (3, 6, 5))
    mean, deviation = (torch.tensor(numbers).view(3, 1, 1) for numbers in IMAGENET)
    torch.testing.assert_close(Normalise().apply(x, torch.zeros(2, 0)), (x - mean) / deviation)
    middle = torch.tensor(IMAGENET[0]) @ torch.tensor([0.299, 0.587, 0.114])
    assert Normalise().apply(torch.full((1, 1, 4, 4), float(middle)), torch.zeros(1, 0)).abs().max() < 1e-6


def test_what_is_drawn() -> None:
    rng = generator(0)
    blur = np.array([AxisBlur().draw(rng, 3) for _ in range(2000)])
    gamma = np.array([Gamma().draw(rng, 3) for _ in range(2000)])
    assert all(kstest(sigma / 2, "uniform").pvalue > 1e-3 for sigma in blur.T)
    assert abs(np.corrcoef(blur.T) - np.eye(3)).max() < 0.08
    assert kstest((np.log(gamma[:, 0]) + 0.3) / 0.6, "uniform").pvalue > 1e-3
    assert AxisBlur().draw(rng, 2)[2] == 0
    assert (AxisBlur(p=0).draw(rng, 3), Gamma(p=0).draw(rng, 3)) == ((0, 0, 0), (1,))


@pytest.mark.parametrize("shape", [(1, 64, 64, 32), *SHAPES])
def test_a_batch_is_its_samples_one_by_one(shape: tuple[int, ...]) -> None:
    ndim = len(shape) - 1
    row = (*PLACE[ndim], *(GENESIS if shape[0] < 3 else ()), *VALUES[ndim])
    n = 4 if np.prod(shape) > 1e5 else 16
    x, draw = images(n, shape), drawn(row, n, ndim)
    whole = apply_all(row, x, draw)
    assert torch.equal(whole, torch.cat([apply_all(row, x[i : i + 1], draw[i : i + 1]) for i in range(n)]))
    together, own = x.clone(), torch.split(draw, [a.width for a in row], 1)
    for augmentation, params in zip(row, own, strict=True):  # as on a GPU
        together = augmentation.change(together, *augmentation.terms(params, shape))
    torch.testing.assert_close(together, whole, rtol=0, atol=2e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_target_is_left_alone_by_what_distorts_the_view(shape: tuple[int, ...]) -> None:
    ndim = len(shape) - 1
    place, values = PLACE[ndim], VALUES[ndim]
    target = apply_all(place, images(4, shape), drawn(place, 4, ndim))
    before = target.clone()
    views = [apply_all(values, target, drawn(values, 4, ndim, seed)) for seed in (1, 1, 2)]
    assert torch.equal(target, before)
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert 0 <= target.min() < target.max() <= 1


def test_hounsfield_become_a_target_in_0_to_1() -> None:
    crops = (images(8, (1, 16, 16, 16)) * 4000 - 2000).to(torch.int16)
    target = apply_all((ToUnit("HU", (-1000, 1000)), *PLACE[3]), crops, drawn(PLACE[3], 8, 3))
    assert (float(target.min()), float(target.max())) == (0, 1)
