"""Rotation, affine and flip against scipy and Pillow, in 2-D and 3-D."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import affine_transform

from vesalius.space.warp import about_centre, axis_rotation, inverse
from vesalius.views.augment import apply_all, draw_all
from vesalius.views.spatial import Affine, HorizontalFlip, Rotation

BILINEAR = Rotation(mode="bilinear")


def images(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def slow_rotation(plane: np.ndarray, degrees: float) -> np.ndarray:
    """scipy: the output at p is the input at R (p - c) + c; rows run down, so counter-clockwise is this R."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = (np.array(plane.shape) - 1) / 2
    return affine_transform(plane, matrix, centre - matrix @ centre, order=1, mode="grid-constant")


@pytest.mark.parametrize("shape", [(32, 32), (20, 45)])
def test_bilinear_rotation_agrees_with_scipy(shape: tuple[int, int]) -> None:
    x, degrees = images(0, (3, 2, *shape)), (-30.0, 0.0, 17.5)
    ours = BILINEAR.apply(x, torch.tensor([(d, 0) for d in degrees]))
    for sample, turned, angle in zip(x.numpy(), ours.numpy(), degrees, strict=True):
        for channel in range(2):
            np.testing.assert_allclose(turned[channel], slow_rotation(sample[channel], angle), atol=2e-4)


def test_nearest_rotation_agrees_with_pillow() -> None:
    x = images(0, (1, 1, 64, 64))
    ours = Rotation().apply(x, torch.tensor([[23.0, 0.0]]))
    expected = np.asarray(Image.fromarray(x[0, 0].numpy()).rotate(23.0, Image.Resampling.NEAREST))
    assert (ours[0, 0].numpy() != expected).mean() < 0.01  # ties between two pixels


def test_nearest_in_a_volume_moves_voxels_and_agrees_with_its_planes() -> None:
    x = images(5, (3, 1, 9, 9, 9))
    ours = Rotation().apply(x, torch.tensor([(25.0, 0), (-12.0, 1), (8.0, 2)]))
    assert set(ours.unique().tolist()) <= {0.0, *x.unique().tolist()}
    for axis, degrees in ((0, 25.0), (1, -12.0), (2, 8.0)):
        planes = x[axis, 0].movedim(axis, 0)[:, None]
        flat = Rotation().apply(planes, torch.tensor([[degrees, 0.0]] * 9))
        assert torch.equal(ours[axis, 0].movedim(axis, 0), flat[:, 0])


def test_a_volume_turns_plane_by_plane_about_its_own_axis() -> None:
    x = images(1, (3, 1, 12, 17, 14))
    ours = BILINEAR.apply(x, torch.tensor([(25.0, 0), (-12.0, 1), (8.0, 2)]))
    for axis, degrees in ((0, 25.0), (1, -12.0), (2, 8.0)):
        for index in range(x.shape[2 + axis]):
            plane = x[axis, 0].select(axis, index).numpy()
            np.testing.assert_allclose(ours[axis, 0].select(axis, index), slow_rotation(plane, degrees), atol=2e-4)


def test_quarter_turn_is_rot90_and_there_and_back_keeps_a_smooth_disc() -> None:
    x = images(2, (1, 1, 33, 33))
    turned = BILINEAR.apply(x, torch.tensor([[90.0, 0.0]]))
    np.testing.assert_allclose(turned[0, 0], np.rot90(x[0, 0].numpy()), atol=1e-4)
    grid = torch.linspace(-1, 1, 65)
    disc = torch.exp(-8 * (grid[:, None] ** 2 + (grid - 0.2) ** 2))[None, None]
    back = BILINEAR.apply(BILINEAR.apply(disc, torch.tensor([[21.0, 0.0]])), torch.tensor([[-21.0, 0.0]]))
    assert (back - disc).abs().max() < 0.01


def test_draws_are_uniform_and_flip_mirrors_left_and_right() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([Rotation(30).draw(rng, 3) for _ in range(3000)])
    assert np.abs(np.sort(drawn[:, 0]) - np.linspace(-30, 30, 3000)).max() < 2
    np.testing.assert_allclose(np.bincount(drawn[:, 1].astype(int)) / 3000, 1 / 3, atol=0.03)
    assert np.mean([HorizontalFlip().draw(rng, 2) for _ in range(2000)]) == pytest.approx(0.5, abs=0.04)
    for shape, axis in (((2, 1, 5, 6), 3), ((2, 1, 5, 6, 7), 2)):
        x = images(3, shape)
        flipped = HorizontalFlip().apply(x, torch.tensor([[1.0], [0.0]]))
        assert torch.equal(flipped, torch.stack([x[0].flip(axis - 1), x[1]]))


@pytest.mark.parametrize("shape", [(1, 24, 31), (1, 10, 12, 9)])
def test_a_sample_comes_out_the_same_however_the_batch_is_split(shape: tuple[int, ...]) -> None:
    row = (Rotation(), BILINEAR, Affine(), HorizontalFlip())
    x, rng = images(4, (8, *shape)), np.random.default_rng(0)
    params = torch.from_numpy(np.stack([draw_all(row, rng, len(shape) - 1) for _ in range(8)]))
    whole = apply_all(row, x, params)
    assert torch.equal(whole, torch.cat([apply_all(row, x[:3], params[:3]), apply_all(row, x[3:], params[3:])]))
    assert whole.shape == x.shape


@pytest.mark.parametrize("shape", [(2, 21, 17), (1, 12, 17, 14)])
def test_affine_agrees_with_scipy_and_with_turns_of_space(shape: tuple[int, ...]) -> None:
    x, rng, ndim = images(6, (5, *shape)) + 0.5, np.random.default_rng(0), len(shape) - 1
    params = np.stack([draw_all([Affine((0.7, 1.3), 40)], rng, ndim) for _ in x])
    ours = Affine().apply(x, torch.from_numpy(params)).numpy()
    for sample, found, numbers in zip(x.numpy(), ours, params, strict=True):
        forth = np.diag(numbers[:ndim].astype(float))
        for axis in reversed(range(3 if ndim == 3 else 1)):
            forth = axis_rotation(float(numbers[3 + axis]), axis, ndim) @ forth
        back = inverse(about_centre(forth, np.zeros(ndim), shape[1:]))
        for channel in range(shape[0]):
            outside = {"order": 1, "mode": "grid-constant", "cval": float(sample.min())}
            expected = affine_transform(sample[channel], back[:, :-1], back[:, -1], **outside)
            np.testing.assert_allclose(found[channel], expected, atol=5e-4)


def test_no_affine_is_the_image_and_half_the_size_leaves_the_least_value_around() -> None:
    x = images(7, (1, 1, 16, 14, 12)) + 0.5
    torch.testing.assert_close(Affine().apply(x, torch.tensor([[1.0, 1, 1, 0, 0, 0]])), x, atol=5e-4, rtol=0)
    small = Affine().apply(x, torch.tensor([[0.5, 0.5, 0.5, 0, 0, 0]]))
    assert (small[:, :, :3] == x.min()).all()
    assert float(small[0, 0, 7:9, 6:8, 5:7].mean()) == pytest.approx(float(x[0, 0, 6:10, 5:9, 4:8].mean()), abs=0.15)


@pytest.mark.parametrize("shape", [(1, 40, 33), (1, 16, 16, 16)])
def test_affine_stays_within_the_range_of_the_image(shape: tuple[int, ...]) -> None:
    params = torch.from_numpy(
        np.stack([draw_all([Affine()], np.random.default_rng(i), len(shape) - 1) for i in range(9)])
    )
    assert (Affine().apply(torch.full((9, *shape), 0.7), params) == torch.tensor(0.7)).all()


def test_what_affine_draws() -> None:
    drawn = np.array([Affine().draw(np.random.default_rng(i), 3) for i in range(1500)])
    assert np.abs(np.sort(drawn[:, :3], 0) - np.linspace(0.9, 1.1, 1500)[:, None]).max() < 0.012
    assert np.abs(np.sort(drawn[:, 3:], 0) - np.linspace(-10, 10, 1500)[:, None]).max() < 1.2
    flat = Affine().draw(np.random.default_rng(0), 2)
    assert (flat[2], flat[4:]) == (1, (0, 0))
