from itertools import product

import pytest
import torch

from vesalius.errors import SettingError
from vesalius.models.heads import (
    LinearHead,
    NonLinearHead,
    Residual,
    Standardised,
    WithHead,
    dense_head,
    enlarged,
    projection,
)
from vesalius.models.resnet import resnet


def test_the_query_tower_has_the_papers_number_of_parameters():
    tower = [resnet(50), projection(2048, 2048, 128)]
    assert sum(p.numel() for part in tower for p in part.parameters()) == 27_966_656  # methods, Adam step 4


def test_it_is_two_linear_maps_with_a_relu_between():
    head, x = projection(5, 7, 3), torch.randn(4, 5)
    a, b, c, d = head.parameters()
    torch.testing.assert_close(head(x), (x @ a.T + b).clamp(min=0) @ c.T + d)


def test_with_norm_every_dimension_of_a_batch_is_standardised():
    z = projection(5, 7, 3, norm=True)(torch.randn(64, 5))
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(0, unbiased=False), torch.ones(3), atol=1e-2, rtol=0)


def pyramid(ndim, sides, channels, seed=0):
    """Noise: one level a side."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(2, c, *side, generator=draw) for c, side in zip(channels, sides, strict=True)]


def halved(shape, levels):
    """Sides of levels after ceil pooling."""
    return [tuple(-(-side // 2**i) for side in shape) for i in range(levels)]


def joined(levels, strides):
    """(B, sum of C_i, *S_0): the vector of every voxel, cell by cell."""
    shape = levels[0].shape[2:]
    found = torch.empty(len(levels[0]), sum(level.shape[1] for level in levels), *shape)
    for voxel in product(*map(range, shape)):
        cells = [level[:, :, *(v * strides[0] // s for v in voxel)] for level, s in zip(levels, strides, strict=True)]
        found[:, :, *voxel] = torch.cat(cells, 1)
    return found


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_dense_heads_have_the_papers_numbers_of_parameters():
    channels = [16 * 2**i for i in range(6)]
    assert parameters(LinearHead(channels, 13, 3)) == 13_117  # methods, vox2vec section 2.2
    assert parameters(NonLinearHead(channels, 13, 3)) == 968_029


@pytest.mark.parametrize(
    ("shape", "channels", "strides"),
    [
        ((16, 24), (4, 8, 16), (1, 2, 4)),
        ((13, 9), (4, 8, 16, 3), (2, 4, 8, 16)),
        ((6, 7, 5), (3, 4, 5), (1, 2, 4)),
        ((11, 7), (3, 4, 5), (16, 16, 16)),
    ],
)
def test_the_linear_head_is_a_linear_classifier_of_the_joined_vector(shape, channels, strides):
    sides = [tuple(-(-side * strides[0] // s) for side in shape) for s in strides]
    levels, head = pyramid(len(shape), sides, channels), LinearHead(channels, 5, len(shape), strides)
    matrix = torch.cat([level.weight.flatten(1) for level in head.levels], 1)
    slow = torch.einsum("kc,bc...->bk...", matrix, joined(levels, strides))
    slow += head.levels[0].bias.reshape(-1, *(1,) * len(shape))
    torch.testing.assert_close(head(levels), slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("step", "side"), [((1, 2), 7), ((1, 3), 8), ((4, 16), 9), ((14, 14), 5), ((2, 3), 10)])
def test_enlarging_takes_the_cell_that_covers_the_voxel(step, side):
    cells = torch.arange(-(-side * step[0] // step[1]))
    expected = [v * step[0] // step[1] for v in range(side)]
    assert enlarged(cells[None, None], (side,), step).flatten().tolist() == expected


@pytest.mark.parametrize(("ndim", "shape"), [(2, (13, 9)), (3, (6, 7, 5))])
def test_a_voxel_of_the_non_linear_head_sees_only_the_cells_above_it(ndim, shape):
    channels = (4, 6, 8)
    head, levels = NonLinearHead(channels, 3, ndim).eval(), pyramid(ndim, halved(shape, 3), channels)
    before = head(levels)
    assert before.shape == (2, 3, *shape)
    levels[1][:, :, *(1,) * ndim] += 1  # covers voxels 2 and 3 along each axis
    changed = (head(levels) - before).abs().sum((0, 1)) > 0
    assert changed[(slice(2, 4),) * ndim].all()
    assert changed.sum() == 2**ndim


@pytest.mark.parametrize("kind", [LinearHead, NonLinearHead])
def test_on_a_backbone_every_weight_of_the_head_learns_and_maps_have_the_images_shape(kind):
    backbone = resnet(18)
    network = WithHead(backbone, kind(backbone.channels, 2, 2, backbone.strides))
    logits = network(torch.rand(2, 1, 50, 38))
    assert logits.shape == (2, 2, 50, 38)
    logits.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.head.parameters())


def test_a_residual_block_without_convolutions_is_the_identity():
    block, x = Residual(3, 2), torch.randn(2, 3, 4, 5)
    for p in block.layers[-1].parameters():
        torch.nn.init.zeros_(p)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("levels", [(0,), (2,), (0, 2)])
def test_a_linear_head_on_some_levels_is_that_on_all_with_weights_of_zero_on_the_others(levels):
    channels, shape = (2, 3, 5), (7, 6)
    maps = pyramid(2, halved(shape, 3), channels)
    some, every = LinearHead(channels, 4, 2, levels=levels), LinearHead(channels, 4, 2)
    for level in every.levels:
        torch.nn.init.zeros_(level.weight)
    for i, level in zip(levels, some.levels, strict=True):
        every.levels[i].weight.data.copy_(level.weight)
    every.levels[0].bias.data.copy_(some.levels[0].bias)
    torch.testing.assert_close(some(maps), every(maps))
    assert some(maps).shape == (2, 4, *shape)


@pytest.mark.parametrize("levels", [(3,), (0, 0), (-1,)])
def test_levels_that_are_not_there_are_refused(levels):
    with pytest.raises(SettingError, match="levels 0 to 2"):
        LinearHead((2, 3, 5), 4, 2, levels=levels)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_a_standardised_head_sees_the_same_whatever_the_scale_of_the_features(kind):
    backbone = resnet(18)
    first, other = (dense_head(kind, backbone, 2, standardise=True).eval() for _ in range(2))
    other.load_state_dict(first.state_dict())
    maps = [torch.rand(3, n, 32 // 2**i, 32 // 2**i) for i, n in enumerate(backbone.channels)]
    moved = [0.01 * x - 7 for x in maps]
    first.fit([x[i : i + 1] for x in maps] for i in range(3))
    other.fit([moved])
    torch.testing.assert_close(first(maps), other(moved), atol=1e-2, rtol=0)
    assert (first.head(maps) - first.head(moved)).abs().max() > 0.1


def test_standardised_features_have_mean_0_and_deviation_1_but_constant_ones():
    head = Standardised(LinearHead((2, 3), 1, 2), (2, 3), 2)
    maps = [3 * torch.randn(4, 2, 6, 6) + 5, torch.randn(4, 3, 3, 3)]
    maps[1][:, 1] = 4
    head.fit([maps])
    seen = []
    head.head.forward = lambda pyramid: seen.extend(pyramid)
    head(maps)
    for x in (seen[0], seen[1][:, ::2]):
        torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(2))
    assert not seen[1][:, 1].any()
