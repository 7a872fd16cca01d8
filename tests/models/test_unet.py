"""The U-Net without skips: its size, its shapes, what passes through it, and the same network written out."""

import pytest
import torch
from torch.nn import functional as F

from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.errors import SettingError
from vesalius.models.backbone import Backbone
from vesalius.models.decoder import UNet
from vesalius.models.scales import Comparison, Restoration, Scales
from vesalius.models.unet import Decoder, unet

DOUBLE = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(1)}


def small(name: str = "unet4x3", ndim: int = 3, skips: bool = False):
    torch.manual_seed(0)
    encoder = zoo.build(name, ndim, 1 if name.startswith("unet") else 3)
    return encoder, Decoder(encoder, skips)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_as_large_as_the_reference():
    with torch.device("meta"):
        encoder, resnet = unet(), zoo.build("resnet18")
        ways_up = Decoder(encoder), Decoder(resnet)
        heads = [Comparison(64), Restoration(3, 64, 1), Restoration(2, 64, 3)]
    assert parameters(encoder) == 7_027_776  # methods, PCRLv2 section 3.2
    assert encoder.channels == (64, 128, 256, 512)
    assert [decoder.channels for decoder in ways_up] == [(256, 128, 64), (256, 128, 64, 32, 16)]
    transposed, plain = 2_753_408, 6_969_984  # sums over layers by hand
    assert [parameters(decoder) for decoder in ways_up] == [transposed + plain, 2_358_976]
    assert [parameters(head) for head in heads] == [4 * 64**2 + 9 * 64, 27 * 64 + 3, 9 * 64**2 + 6 * 64 + 3]


@pytest.mark.parametrize(
    ("name", "shape", "scales"),
    [
        ("resnet18", (224, 224), [14, 28, 56, 112, 224]),
        ("resnet18", (96, 96), [6, 12, 24, 48, 96]),
        ("unet", (64, 64, 32), [16, 32, 64]),
        ("unet", (16, 16, 16), [4, 8, 16]),
    ],
)
def test_scales_are_those_of_the_reference(name, shape, scales):
    with torch.device("meta"):
        encoder = zoo.build(name, len(shape), 1)
        maps = Decoder(encoder)(encoder(torch.rand(2, 1, *shape)), shape)
    assert [tuple(x.shape[2:]) for x in maps] == [tuple(side * scale // shape[0] for side in shape) for scale in scales]


@pytest.mark.parametrize(("name", "ndim"), [("unet4x3", 2), ("unet4x3", 3), ("resnet18", 2), ("resnet18", 3)])
@pytest.mark.parametrize("skips", [True, False])
def test_odd_sides_keep_their_shape(name, ndim, skips):
    encoder, decoder = (part.eval() for part in small(name, ndim, skips))
    shape = (13, 18, 7)[:ndim]
    pyramid = encoder(torch.rand(1, 1, *shape))
    assert isinstance(encoder, Backbone)
    assert [x.shape[1:] for x in pyramid] == [
        (c, *(-(-side // stride) for side in shape))
        for c, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]
    maps = decoder(pyramid, shape)
    assert [x.shape[1] for x in maps] == list(decoder.channels)
    assert maps[-1].shape[2:] == shape


@pytest.mark.parametrize(("name", "ndim"), [("unet4x3", 2), ("unet4x3", 3), ("resnet18", 2)])
@pytest.mark.parametrize("skips", [True, False])
def test_without_skips_all_passes_the_coarsest_map(name, ndim, skips):
    """What is restored and what is compared at every scale, and the last image."""
    encoder, _ = small(name, ndim, skips)
    network, shape = Scales(encoder, skips=skips).eval(), (32, 32, 16)[:ndim]
    *finer, coarsest = encoder(torch.rand(2, 1, *shape))

    def heads(pyramid):
        maps = network.decoder(pyramid, shape)
        scales = range(len(maps))
        final, middle = network.restored(maps, scales)
        return [[final, middle[i], *network.vectors(maps, i)] for i in scales]

    before = heads([*finer, coarsest])
    for i in range(len(finer)):
        other = [torch.rand_like(x) if i == j else x for j, x in enumerate(finer)]
        same = [all(map(torch.equal, *pair)) for pair in zip(before, heads([*other, coarsest]), strict=True)]
        assert any(same) != skips
        assert all(same) != skips


def slow(w, v, x, skips):
    """Both ways of the plain network written out from their state dicts."""

    def pair(w, name, x):
        for conv, norm in ((0, 1), (3, 4)):
            x = F.conv3d(x, w[f"{name}.{conv}.weight"], w[f"{name}.{conv}.bias"], padding=1)
            x = (x - x.mean((0, 2, 3, 4), keepdim=True)) / (x.var((0, 2, 3, 4), False, keepdim=True) + 1e-5).sqrt()
            x = x * w[f"{name}.{norm}.weight"].view(-1, 1, 1, 1) + w[f"{name}.{norm}.bias"].view(-1, 1, 1, 1)
            x = x.clamp(min=0)
        return x

    down = [pair(w, "levels.0", x)]
    for i in (1, 2):
        down.append(pair(w, f"levels.{i}", F.max_pool3d(down[-1], 2)))
    maps, x = [], down[-1]
    for s in (0, 1):
        x = F.conv_transpose3d(x, v[f"up.{s}.weight"], v[f"up.{s}.bias"], stride=2)
        x = pair(v, f"blocks.{s}", torch.cat([x, down[1 - s]], 1) if skips else x)
        maps.append(x)
    return maps


@pytest.mark.parametrize("skips", [True, False])
def test_equals_the_network_written_out(skips):
    encoder, decoder = (part.double() for part in small(skips=skips))
    x = torch.rand(2, 1, 8, 12, 4, **DOUBLE)
    found = decoder(encoder(x), x.shape[2:])
    for ours, theirs in zip(found, slow(encoder.state_dict(), decoder.state_dict(), x, skips), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("ndim", [2, 3])
def test_transfer_adds_a_fresh_decoder_with_or_without_skips(ndim):
    encoder, _ = small("unet4x3", ndim)
    for skips in (True, False):
        network = UNet(encoder, 2, skips=skips, widths=(8, 4)).eval()
        assert network(torch.rand(1, 1, *(9, 12, 8)[:ndim])).shape == (1, 2, *(9, 12, 8)[:ndim])


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_restored_in_3d_is_in_0_to_1_and_as_large_as_the_image(ndim):
    x, shape = torch.randn(4, 8, *(4, 6, 2)[:ndim]), (16, 24, 8)[:ndim]
    y = Restoration(ndim, 8, 1)(x, shape)
    assert y.shape == (4, 1, *shape)
    assert bool(((y >= 0) & (y <= 1)).all()) == (ndim == 3)


def test_the_vector_of_a_scale_is_the_mean_over_space_normalised_over_the_batch():
    x = torch.randn(6, 5, 3, 4, **DOUBLE)
    z, p = Comparison(5).double()(x)
    mean = x.mean((2, 3))
    torch.testing.assert_close(z, (mean - mean.mean(0)) / (mean.var(0, False) + 1e-5).sqrt())
    assert p.shape == z.shape


@pytest.mark.parametrize("ndim", [2, 3])
def test_from_a_file_comes_the_same_unet(ndim, tmp_path):
    net = zoo.build("unet4x2", ndim, 4).eval()
    checkpoint.write(tmp_path / "a.safetensors", net.state_dict(), Card(backbone=zoo.description("unet4x2", net)))
    again, image = zoo.load(tmp_path / "a.safetensors"), torch.rand(2, 4, *(9, 8, 5)[:ndim])
    for ours, theirs in zip(net(image), again.backbone(image), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "wrong", [{"name": "unet3x3"}, {"name": "unet8x1"}, {"name": "unet8"}, {"ndim": 4}, {"std": [0.0]}]
)
def test_an_impossible_unet_is_refused(wrong):
    with pytest.raises(SettingError):
        unet(**wrong)


def test_an_image_of_other_channels_is_refused():
    with pytest.raises(SettingError, match="3-D network of 1 channels"):
        small()[0](torch.rand(1, 2, 8, 8, 8))
