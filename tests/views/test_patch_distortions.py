"""Swapped, cut out, painted and shuffled patches against slow versions, and what each must leave as it was."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from vesalius.chance import generator
from vesalius.views.augment import draw_all
from vesalius.views.patches import CutOut, LocalShuffle, Paint, SwapPatches, corners, swap_gathered, swap_slices

SHAPES = [(1, 40, 33), (3, 24, 20), (2, 20, 17, 18)]


def coded(n: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Every voxel of a channel its own number; the channels alike but for an offset."""
    voxels = torch.arange(np.prod(shape[1:]), dtype=torch.float32).view(1, 1, *shape[1:])
    return (
        voxels + 1e5 * torch.arange(shape[0]).view(1, -1, *(1,) * (len(shape) - 1)) + torch.zeros(n, *(1,) * len(shape))
    )


def drawn(augmentation, n: int, ndim: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([draw_all([augmentation], generator(0, i), ndim) for i in range(n)]))


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_swapped_one_pair_after_the_other(shape: tuple[int, ...]) -> None:
    swap, ndim = SwapPatches(times=30), len(shape) - 1
    x, draw = coded(3, shape), drawn(SwapPatches(times=30), 3, ndim)
    (places,) = swap.terms(draw, shape)
    expected = x.numpy().copy()
    for sample, pairs in zip(expected, places.tolist(), strict=True):
        for first, second in pairs:
            before = sample.copy()
            for step in np.ndindex((8, 4, 4)[:ndim]):
                a, b = (tuple(np.add(place, step)) for place in (first, second))
                sample[:, *a] = before[:, *b]
            for step in np.ndindex((8, 4, 4)[:ndim]):
                a, b = (tuple(np.add(place, step)) for place in (first, second))
                sample[:, *b] = before[:, *a]
    np.testing.assert_array_equal(swap.apply(x, draw), expected)
    for way in (swap_slices, swap_gathered):
        np.testing.assert_array_equal(way(x.clone(), places, (8, 4, 4)[:ndim]), expected)


def test_apart_patches_only_change_places_and_swapping_again_undoes_it() -> None:
    x, places = coded(1, (1, 30, 20)), torch.tensor([[[[0, 0], [20, 10]], [[0, 16], [12, 4]]]])
    swapped = swap_slices(x.clone(), places, (8, 4))
    assert torch.equal(swapped.flatten().sort().values, x.flatten())
    assert not torch.equal(swapped, x)
    assert torch.equal(swap_slices(swapped, places.flip(1), (8, 4)), x)


def test_swaps_of_the_same_patches_as_torchio() -> None:
    """Its own draws never reach the last voxel of an axis; where patches overlap, it shows the other one whole."""
    import torchio  # seconds

    swap, x = SwapPatches(), coded(4, (1, 32, 32, 24))
    (places,) = swap.terms(drawn(swap, 4, 3), tuple(x.shape[1:]))
    for sample, pairs in zip(x, places, strict=True):
        apart = pairs[((pairs[:, 0] - pairs[:, 1]).abs() >= torch.tensor(swap.side)).any(1)]
        theirs = torchio.Swap(swap.side, apart.tolist())(sample)
        assert torch.equal(swap_slices(sample[None].clone(), apart[None], swap.side)[0], theirs)


def test_corners_are_even_over_all_the_room() -> None:
    u = torch.from_numpy(np.append(generator(0).random(4000), 1.0).astype(np.float32))[:, None].expand(-1, 3)
    places = corners(u, torch.tensor([4, 1]), (1, 10, 3))
    assert chisquare(np.bincount(places[:-1, 0], minlength=7)).pvalue > 1e-3
    assert places[-1].tolist() == [6, 2]
    assert len(np.bincount(places[:, 1])) == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_cut_out_is_exactly_nothing_in_three_patches_and_the_image_elsewhere(shape: tuple[int, ...]) -> None:
    cut, ndim = CutOut(side=5), len(shape) - 1
    x = coded(8, shape) + 1
    draw = drawn(cut, 8, ndim)
    made = cut.apply(x, draw)
    places = corners(draw[:, 1:].view(8, 3, 3), torch.tensor([5] * ndim), shape)
    for sample, found, first in zip(x, made, places.tolist(), strict=True):
        expected = sample.clone()
        for place in first:
            expected[:, *(slice(a, a + 5) for a in place)] = 0
        assert torch.equal(found, expected)
    assert torch.equal(CutOut(5, p=0).apply(x, drawn(CutOut(5, p=0), 8, ndim)), x)
    assert not CutOut(99, fill=0).apply(x, drawn(CutOut(99), 8, ndim)).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_painting_keeps_the_image_outside_of_patches_or_inside_and_is_noise_elsewhere(shape: tuple[int, ...]) -> None:
    x = coded(40, shape) + 2
    for outer, low, high in ((0.0, 0.3, 0.99), (1.0, 0.1, 0.9)):
        paint = Paint(p=1, outer=outer)
        made = paint.apply(x, drawn(paint, 40, len(shape) - 1))
        kept = made == x
        assert low < float(kept.float().mean()) < high
        assert kstest(made[~kept][:5000], "uniform").pvalue > 1e-4
        assert len(made[~kept].unique()) > 0.9 * min(2**20, int((~kept).sum()))
    assert torch.equal(Paint(p=0).apply(x, drawn(Paint(p=0), 40, len(shape) - 1)), x)


def test_what_painting_draws() -> None:
    rng = generator(0)
    kind, _, count = np.array([Paint().draw(rng, 3)[:3] for _ in range(6000)]).T
    np.testing.assert_allclose(np.bincount(kind.astype(int)) / 6000, (0.1, 0.18, 0.72), atol=0.02)
    expected = [0.05 * 0.95**i for i in range(4)]
    np.testing.assert_allclose(np.bincount(count.astype(int))[1:] / 6000, [*expected, 1 - sum(expected)], atol=0.015)


@pytest.mark.parametrize("shape", SHAPES)
def test_shuffling_keeps_the_voxels_of_every_window_and_moves_them_evenly(shape: tuple[int, ...]) -> None:
    shuffle, ndim = LocalShuffle(largest=0.3, p=1), len(shape) - 1
    x, draw = coded(12, shape), drawn(LocalShuffle(largest=0.3, p=1), 12, ndim)
    made, window = shuffle.apply(x, draw), shuffle.terms(draw, shape)[2]
    for sample, found, tile in zip(x.flatten(2), made.flatten(2), window, strict=True):
        source = found[0].long()  # a voxel's number is its place
        assert torch.equal(tile[source], tile)
        assert torch.equal(source.sort().values, torch.arange(len(tile)))
        assert torch.equal(found, sample[:, source])  # channels move together
    moved = (made != x).float().mean((1, *range(2, ndim + 2)))
    assert moved.max() > 0.9
    assert torch.equal(LocalShuffle(p=0).apply(x, drawn(LocalShuffle(p=0), 12, ndim)), x)


def test_windows_are_boxes_that_tile_the_image() -> None:
    draw = drawn(LocalShuffle(largest=0.5, p=1), 6, 2)
    for tile, numbers in zip(LocalShuffle(0.5).terms(draw, (1, 12, 10))[2].view(6, 12, 10), draw, strict=True):
        side = [1 + int(numbers[2 + axis] * n) for axis, n in enumerate((6, 5))]
        for number in tile.unique():
            places = (tile == number).nonzero()
            extent = places.amax(0) - places.amin(0) + 1
            assert len(places) == extent.prod()
            assert all(extent[axis] <= side[axis] for axis in range(2))
