from itertools import product

import pytest
import torch

from vesalius.models.fpn import fpn
from vesalius.models.heads import LinearHead
from vesalius.models.voxels import Projector, at_voxels

SHAPES = {2: (13, 18), 3: (13, 6, 7)}


def scene(ndim, m=11):
    """A pyramid of three levels and voxels of its image, some of them twice."""
    draw = torch.Generator().manual_seed(ndim)
    sides = [tuple(-(-side // 2**i) for side in SHAPES[ndim]) for i in range(3)]
    pyramid = [torch.randn(2, 4 * 2**i, *side, generator=draw, requires_grad=True) for i, side in enumerate(sides)]
    voxels = torch.stack([torch.randint(side, (2, m), generator=draw) for side in SHAPES[ndim]], -1)
    return pyramid, (1, 2, 4), torch.cat([voxels, voxels[:, :3]], 1)


def joined(pyramid, shape):
    """(B, sum of C, *shape): every level by nearest upsampling, cropped, joined."""
    parts = []
    for i, level in enumerate(pyramid):
        for axis in range(2, level.ndim):
            level = level.repeat_interleave(2**i, axis).narrow(axis, 0, shape[axis - 2])
        parts.append(level)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_vectors_are_columns_of_the_upsampled_pyramid_and_so_are_gradients(ndim, last):
    pyramid, strides, voxels = scene(ndim)
    if last:
        pyramid = [level.detach().movedim(1, -1).contiguous().movedim(-1, 1).requires_grad_() for level in pyramid]
    vectors, maps = at_voxels(pyramid, strides, voxels), joined(pyramid, SHAPES[ndim])
    slow = torch.stack([torch.stack([maps[b, :, *v] for v in voxels[b].tolist()]) for b in range(2)])
    assert torch.equal(vectors, slow)
    weight = torch.randn(slow.shape)
    gradients = (torch.autograd.grad((x * weight).sum(), pyramid) for x in (vectors, slow))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_linear_head_is_a_linear_classifier_of_the_vectors():
    net, x = fpn("fpn2x4").eval(), torch.rand(1, 1, 5, 9, 4)
    head, voxels = LinearHead(net.channels, 3, 3), torch.tensor(list(product(*map(range, x.shape[2:]))))
    pyramid = net(x)
    matrix = torch.cat([level.weight.flatten(1) for level in head.levels], 1)
    slow = at_voxels(pyramid, net.strides, voxels[None])[0] @ matrix.T + head.levels[0].bias
    torch.testing.assert_close(head(pyramid)[0].flatten(1).T, slow, rtol=0, atol=1e-5)


def test_a_voxel_beyond_the_image_is_an_error():
    pyramid, strides, voxels = scene(3)
    with pytest.raises(IndexError):
        at_voxels(pyramid, strides, voxels + 13)


def test_the_projector_is_as_large_as_the_papers_and_ends_on_the_sphere():
    torch.manual_seed(0)
    assert sum(p.numel() for p in Projector(1008).parameters()) == 2_167_328
    z = Projector(20, 8)(torch.randn(30, 20))
    torch.testing.assert_close(z.norm(dim=1), torch.ones(30))
    assert z.std(0).min() > 0.1


def test_the_projector_equals_its_layers_written_out():
    torch.manual_seed(0)
    net, x = Projector(6, 4), torch.randn(9, 6)
    first, _, _, second, _, _, last = net.layers
    y = x
    for linear in (first, second):
        y = y @ linear.weight.T + linear.bias
        y = ((y - y.mean(0)) / (y.var(0, unbiased=False) + 1e-5).sqrt()).clamp(min=0)
    y = y @ last.weight.T + last.bias
    torch.testing.assert_close(net(x), y / y.norm(dim=1, keepdim=True))


def test_under_autocast_unit_vectors_are_fp32():
    with torch.autocast("cpu", torch.bfloat16):
        z = Projector(6, 4)(torch.randn(9, 6))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(9))
