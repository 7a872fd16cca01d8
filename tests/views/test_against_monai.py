"""Augmentations against MONAI's, which has a convention of its own for most: in one file, because its import takes seconds."""

import numpy as np
import pytest
import torch
from monai.transforms.intensity.array import (
    AdjustContrast,
    GaussianSmooth,
    NormalizeIntensity,
    RandCoarseDropout,
    RandCoarseShuffle,
    RandGaussianNoise,
)
from monai.transforms.spatial.array import Affine as MonaiAffine
from monai.transforms.spatial.array import Flip
from scipy.stats import ks_2samp

from vesalius.chance import generator
from vesalius.views.augment import Augmentation, draw_all
from vesalius.views.distort import AxisBlur, Gamma, ZNormalise
from vesalius.views.hounsfield import Noise
from vesalius.views.patches import CutOut, LocalShuffle, Paint
from vesalius.views.spatial import Affine, HorizontalFlip


def image(*shape: int) -> torch.Tensor:
    """In 0..1, both of which are in it: MONAI's gamma stretches over the range, its affine takes 0 from outside."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0], x[:, 0, 1] = 0, 1
    return x


def draws(augmentation: Augmentation, n: int, ndim: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([draw_all([augmentation], generator(0, i), ndim) for i in range(n)]))


def boxes(inside: torch.Tensor) -> tuple[slice, ...]:
    """The box of the places that are true, of all channels, as MONAI writes its holes."""
    where = inside.nonzero()
    ends = zip(where.amin(0).tolist(), where.amax(0).tolist(), strict=True)
    return (slice(None), *(slice(low, high + 1) for low, high in ends))


def plain(x: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(x))


@pytest.mark.parametrize("shape", [(1, 16, 14), (1, 16, 14, 12)])
def test_flip_gamma_and_z_normalisation(shape: tuple[int, ...]) -> None:
    x = image(*shape)
    axis = 1 if len(shape) == 3 else 0  # left and right
    assert torch.equal(HorizontalFlip().apply(x[None], torch.ones(1, 1))[0], plain(Flip(axis)(x)))
    gamma = Gamma().apply(x[None], torch.tensor([[1.3]]))[0]
    torch.testing.assert_close(gamma, plain(AdjustContrast(1.3)(x)), atol=1e-5, rtol=0)
    normal = ZNormalise().apply(x[None], torch.zeros(1, 0))[0]
    torch.testing.assert_close(normal, plain(NormalizeIntensity()(x)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(1, 32, 30), (1, 24, 26, 24)])
def test_blur_in_the_middle_where_edges_do_not_matter(shape: tuple[int, ...]) -> None:
    x = image(*shape)
    middle = (slice(None), *(slice(9, n - 9) for n in shape[1:]))
    monai = plain(GaussianSmooth(1.0, approx="sampled")(x))[middle]
    torch.testing.assert_close(AxisBlur().apply(x[None], torch.ones(1, 3))[0][middle], monai, atol=2e-3, rtol=0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_scale_and_turn(ndim: int) -> None:
    x = image(1, *(16, 14, 12)[:ndim])
    angles = [0.15] if ndim == 2 else [0.0, 0.0, 0.15]  # in the plane of the first two axes
    monai = MonaiAffine(angles, scale_params=[1 / 1.1] * ndim, padding_mode="zeros", image_only=True)(x)
    degrees = float(np.rad2deg(-0.15))
    own = [1.1] * 3 + ([degrees, 0, 0] if ndim == 2 else [0, 0, degrees])
    torch.testing.assert_close(Affine().apply(x[None], torch.tensor([own]))[0], plain(monai), atol=5e-4, rtol=0)


def test_as_much_is_cut_out_everywhere() -> None:
    cut, monai = CutOut(16, 3), RandCoarseDropout(holes=3, spatial_size=16, fill_value=0, prob=1).set_random_state(0)
    ours = cut.apply(torch.ones(400, 1, 56, 48), draws(cut, 400, 2))
    theirs = torch.stack([plain(monai(torch.ones(1, 56, 48))) for _ in range(400)])
    share, expected = ((made == 0).float().mean((0, 1)) for made in (ours, theirs))
    assert float(share.mean()) == pytest.approx(float(expected.mean()), abs=0.01)
    assert (share - expected).abs().max() < 0.15  # of 400: a deviation is 0.03


@pytest.mark.parametrize("shape", [(1, 24, 20), (1, 12, 10, 9)])
def test_noise_has_deviations_and_values_alike(shape: tuple[int, ...]) -> None:
    noise, monai = Noise((0.0, 0.25), p=1), RandGaussianNoise(prob=1, std=0.25).set_random_state(0)
    ours = noise.apply(torch.zeros(300, *shape), draws(noise, 300, len(shape) - 1)).flatten(1)
    theirs = torch.stack([plain(monai(torch.zeros(shape))) for _ in range(300)]).flatten(1)
    assert ks_2samp(ours.std(1), theirs.std(1)).pvalue > 1e-3
    assert ks_2samp(*((made / made.std(1, keepdim=True)).flatten() for made in (ours, theirs))).pvalue > 1e-3


@pytest.mark.parametrize("outer", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 40, 36), (1, 20, 18, 22)])
def test_painting_of_the_same_patches(shape: tuple[int, ...], outer: float) -> None:
    """MONAI's holes are set to one patch of ours: the same voxels stay, the others are noise of one distribution."""
    paint = Paint(p=1, outer=outer, more=0)
    monai = RandCoarseDropout(1, 1, dropout_holes=outer == 0, fill_value=(0.0, 1.0), prob=1).set_random_state(0)
    x = image(*shape).repeat(60, *(1,) * len(shape)) + 2
    draw, filled = draws(paint, 60, len(shape) - 1), []
    for sample, made, patch in zip(x, paint.apply(x, draw), paint.terms(draw, shape)[2], strict=True):
        monai.hole_coords = [boxes(patch[0])]
        theirs = plain(monai(sample.clone(), randomize=False))
        assert torch.equal(made == sample, theirs == sample)
        filled.append(torch.stack([made[made != sample], theirs[made != sample]]))
    assert ks_2samp(*torch.cat(filled, 1)).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(1, 30, 24), (1, 12, 14, 10)])
def test_shuffling_of_the_same_windows(shape: tuple[int, ...]) -> None:
    """MONAI's holes are set to our windows: the same values stay in each, and are as far from where they were."""
    shuffle, monai = LocalShuffle(0.3, p=1), RandCoarseShuffle(1, 1, prob=1).set_random_state(0)
    x = torch.arange(float(np.prod(shape))).view(shape)
    draw, moved = draws(shuffle, 40, len(shape) - 1), []
    for made, windows in zip(
        shuffle.apply(x.repeat(40, *(1,) * len(shape)), draw), shuffle.terms(draw, shape)[2], strict=True
    ):
        monai.hole_coords = [boxes(windows.view(shape[1:]) == number) for number in windows.unique()]
        theirs = plain(monai(x.clone(), randomize=False))
        for hole in monai.hole_coords:
            assert torch.equal(made[hole].flatten().sort().values, theirs[hole].flatten().sort().values)
        moved.append([float((found - x).abs().mean()) for found in (made, theirs)])
    ours, expected = np.mean(moved, 0)
    assert ours == pytest.approx(expected, rel=0.03)
