import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from vesalius.errors import SettingError
from vesalius.models.backbone import Backbone, pool
from vesalius.models.resnet import IMAGENET_MEAN, IMAGENET_STD, resnet

STORED = json.loads(Path(__file__).with_name("resnet_keys.json").read_text())


@pytest.fixture(scope="module")
def net18():
    return lively(resnet(18).eval())


def lively(net, seed=0):
    """Batch norm parameters and statistics away from 1 and 0, so that a test sees a wrong one."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith(("weight", "bias", "running_mean", "running_var")) and tensor.ndim == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return net


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_keys_and_shapes_are_torchvisions(depth):
    ours = [[name, list(tensor.shape)] for name, tensor in resnet(depth).state_dict().items()]
    assert ours == STORED[f"resnet{depth}"]


def slow_forward(w, x, blocks, convs, strides_at):
    """ResNet written out from a state dict: conv, norm, relu; the shortcut is there where its weights are."""

    def norm(x, name):
        return F.batch_norm(x, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = F.relu(norm(F.conv2d((x - mean) / std, w["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, n in enumerate(blocks, 1):
        for j in range(n):
            name, first = f"layer{layer}.{j}", layer > 1 and j == 0
            y = x
            for c in range(1, convs + 1):
                kernel = w[f"{name}.conv{c}.weight"]
                stride = 2 if first and c == strides_at else 1
                y = norm(F.conv2d(y, kernel, stride=stride, padding=kernel.shape[-1] // 2), f"{name}.bn{c}")
                y = F.relu(y) if c < convs else y
            if f"{name}.downsample.0.weight" in w:
                kernel = w[f"{name}.downsample.0.weight"]
                x = norm(F.conv2d(x, kernel, stride=2 if first else 1), f"{name}.downsample.1")
            x = F.relu(x + y)
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("depth", "blocks", "convs", "strides_at"), [(18, (2, 2, 2, 2), 2, 1), (50, (3, 4, 6, 3), 3, 2)]
)
def test_equals_the_network_written_out(depth, blocks, convs, strides_at):
    net, x = lively(resnet(depth).eval()), torch.rand(2, 3, 45, 38)
    expected = slow_forward(net.state_dict(), x, blocks, convs, strides_at)
    torch.testing.assert_close(pool(net(x)), expected, rtol=1e-4, atol=1e-4 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_volume_goes_the_same_way(ndim):
    net, x = resnet(18, ndim, in_channels=1).eval(), torch.rand(1, 1, *(33, 50, 20)[:ndim])
    pyramid = net(x)
    assert isinstance(net, Backbone)
    assert [level.shape[1] for level in pyramid] == list(net.channels) == [64, 64, 128, 256, 512]
    for level, stride in zip(pyramid, net.strides, strict=True):
        assert level.shape[2:] == tuple(-(-side // stride) for side in x.shape[2:])


def test_2d_kernels_in_the_central_slice_of_3d_ones_see_a_stack_of_equal_slices_as_one(net18):
    volume = resnet(18, 3).eval()
    weights = {}
    for name, tensor in net18.state_dict().items():
        weights[name] = tensor
        if tensor.ndim == 4:
            side = tensor.shape[-1]
            weights[name] = torch.stack([tensor if i == side // 2 else 0 * tensor for i in range(side)], dim=-1)
    volume.load_state_dict(weights)
    x = torch.rand(1, 3, 40, 36)
    stack = volume(x[..., None].expand(-1, -1, -1, -1, 8))
    for flat, deep in zip(net18(x), stack, strict=True):
        torch.testing.assert_close(flat, deep[..., 0], rtol=1e-4, atol=1e-4)


def test_grey_is_repeated_and_the_mean_image_is_zero_inside(net18):
    grey = torch.rand(2, 1, 32, 32)
    assert torch.equal(net18(grey)[-1], net18(grey.expand(-1, 3, -1, -1))[-1])
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    fresh = resnet(18).eval()
    assert not fresh(mean)[0].any()


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_few_pixels_are_enough(net18, side):
    assert torch.isfinite(pool(net18(torch.rand(1, 1, side, side)))).all()


def test_channels_last_is_only_a_layout(net18):
    x = torch.rand(2, 3, 48, 48)
    plain = net18(x)[-1]
    last = lively(resnet(18).eval()).to(memory_format=torch.channels_last)
    last.load_state_dict(net18.state_dict())
    out = last(x.contiguous(memory_format=torch.channels_last))[-1]
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, plain, rtol=1e-4, atol=1e-4)


def test_starts_as_the_paper_says():
    state = resnet(18).state_dict()
    for name in ("conv1.weight", "layer3.0.conv1.weight", "layer4.0.downsample.0.weight"):
        fan_out = state[name].shape[0] * state[name][0, 0].numel()
        assert state[name].std() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    assert all((t == 1).all() for n, t in state.items() if "bn" in n and n.endswith(".weight"))


def test_normalisation_stays_out_of_the_state_dict_and_follows_the_channels():
    ct = resnet(18, 3, in_channels=1, mean=[0.3], std=[0.2])
    assert "mean" not in ct.state_dict()
    assert ct.mean.tolist() == pytest.approx([0.3])
    assert resnet(18, in_channels=2).std.tolist() == pytest.approx([sum(IMAGENET_STD) / 3] * 2)


@pytest.mark.parametrize(
    "arguments", [{"depth": 19}, {"depth": 18, "ndim": 4}, {"depth": 18, "mean": [0.5], "std": [0.1]}]
)
def test_an_impossible_network_is_refused(arguments):
    with pytest.raises(SettingError):
        resnet(**arguments)


def test_a_volume_given_to_a_2d_network_is_refused(net18):
    with pytest.raises(SettingError, match="2-D network of 3 channels"):
        net18(torch.rand(1, 3, 8, 8, 8))
