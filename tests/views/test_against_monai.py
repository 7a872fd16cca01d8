"""Augmentations against MONAI's, which has a convention of its own for most: in one file, because its import takes seconds."""

import numpy as np
import pytest
import torch
from monai.transforms.intensity.array import AdjustContrast, GaussianSmooth, NormalizeIntensity, RandCoarseDropout
from monai.transforms.spatial.array import Affine as MonaiAffine
from monai.transforms.spatial.array import Flip

from vesalius.chance import generator
from vesalius.views.augment import draw_all
from vesalius.views.distort import AxisBlur, Gamma, ZNormalise
from vesalius.views.patches import CutOut
from vesalius.views.spatial import Affine, HorizontalFlip


def image(*shape: int) -> torch.Tensor:
    """In 0..1, both of which are in it: MONAI's gamma stretches over the range, its affine takes 0 from outside."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0], x[:, 0, 1] = 0, 1
    return x


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
    draw = torch.from_numpy(np.stack([draw_all([cut], generator(0, i), 2) for i in range(400)]))
    ours = cut.apply(torch.ones(400, 1, 56, 48), draw)
    theirs = torch.stack([plain(monai(torch.ones(1, 56, 48))) for _ in range(400)])
    share, expected = ((made == 0).float().mean((0, 1)) for made in (ours, theirs))
    assert float(share.mean()) == pytest.approx(float(expected.mean()), abs=0.01)
    assert (share - expected).abs().max() < 0.15  # of 400: a deviation is 0.03
