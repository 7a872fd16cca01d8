import pytest
import torch

from vesalius import zoo
from vesalius.models.decoder import UNet


@pytest.mark.parametrize(("ndim", "shape"), [(2, (64, 96)), (2, (33, 47)), (3, (32, 20, 24))])
def test_a_map_for_every_structure_in_the_shape_of_the_image(ndim, shape):
    network = UNet(zoo.build("resnet18", ndim), 3).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 1, *shape)).shape == (2, 3, *shape)


def test_skips_carry_fine_maps_and_without_them_nothing_passes_the_coarsest():
    backbone = zoo.build("resnet18").eval()

    class Fixed(torch.nn.Module):
        ndim, in_channels, channels, strides = 2, 3, backbone.channels, backbone.strides

        def forward(self, x):
            with torch.no_grad():
                *finer, last = backbone(torch.zeros(1, 1, 64, 64))
            return [*(level + x.mean() for level in finer), last]

    for skips in (True, False):
        network = UNet(Fixed(), 1, skips=skips).eval()
        with torch.inference_mode():
            a, b = network(torch.zeros(1, 1, 64, 64)), network(torch.ones(1, 1, 64, 64))
        assert torch.equal(a, b) != skips


def test_all_weights_learn():
    network = UNet(zoo.build("resnet18"), 2)
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(("name", "ndim"), [("unet16x4", 3), ("unet8x3", 2)])
def test_a_plain_backbone_gets_its_own_widths_and_nothing_beyond_full_resolution(name, ndim):
    backbone = zoo.build(name, ndim, 1)
    network = UNet(backbone, 2)
    assert [block.layers[0].out_channels for block in network.blocks] == list(reversed(backbone.channels[:-1]))
    assert not list(network.final.parameters())
    assert network(torch.rand(2, 1, *(17, 16, 9)[:ndim])).shape == (2, 2, *(17, 16, 9)[:ndim])
