import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.errors import SettingError
from vesalius.models.backbone import Backbone
from vesalius.models.fpn import doubled, fpn
from vesalius.models.norm import convert

SHAPE = (13, 18, 7)


def image(ndim=3, batch=2):
    return torch.rand(batch, 1, *SHAPE[:ndim], generator=torch.Generator().manual_seed(1))


def network(name="fpn4x3", ndim=3):
    torch.manual_seed(0)
    return fpn(name, ndim)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["fpn", "fpn16x6", "fpn-finest"])
def test_as_large_as_the_papers(name):
    with torch.device("meta"):
        whole = fpn(name)
    assert parameters(whole) == 47_624_448  # methods, vox2vec section 2.1
    assert whole.channels == ((16,) if "finest" in name else (16, 32, 64, 128, 256, 512))
    assert sum(whole.channels) == (16 if "finest" in name else 1008)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("shape", [(13, 18, 7), (16, 8, 24), (1, 2, 3), (5, 1, 1)])
def test_odd_sides_are_rounded_up_and_the_finest_map_keeps_them(ndim, shape):
    net = network(ndim=ndim).eval()
    assert isinstance(net, Backbone)
    for level, channels, stride in zip(net(torch.rand(1, 1, *shape[:ndim])), net.channels, net.strides, strict=True):
        assert level.shape[1:] == (channels, *(-(-side // stride) for side in shape[:ndim]))


def slow(w, x, levels):
    """The network written out from a state dict, in the order of the paper's drawing."""

    def conv(name, x):
        kernel = w[f"{name}.weight"]
        return F.conv3d(x, kernel, w[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def norm(name, x):
        return F.batch_norm(x, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    def blocks(name, x):
        for block in (f"{name}.0.layers", f"{name}.1.layers"):
            y = conv(f"{block}.2", F.relu(norm(f"{block}.0", x)))
            x = x + conv(f"{block}.5", F.relu(norm(f"{block}.3", y)))
        return x

    down = [blocks("encoder.0", conv("stem", x))]
    for i in range(1, levels):
        down.append(blocks(f"encoder.{i}", conv(f"down.{i - 1}", F.max_pool3d(down[-1], 2, ceil_mode=True))))
    up = [down[-1]]
    for i in reversed(range(levels - 1)):
        fine, coarse = down[i], conv(f"up.{i}", up[0])
        for axis in (2, 3, 4):
            coarse = coarse.index_select(axis, torch.arange(fine.shape[axis]) // 2)
        up.insert(0, blocks(f"decoder.{i}", conv(f"lateral.{i}", fine) + coarse))
    return up


def test_equals_the_network_written_out():
    net = network().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    for ours, theirs in zip(net(image()), slow(net.state_dict(), image(), 3), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_finest_map_alone_is_that_of_the_same_pyramid():
    whole, finest = network().eval(), network("fpn4x3-finest").eval()
    (level,) = finest(image())
    assert torch.equal(level, whole(image())[0])
    assert (finest.channels, finest.strides) == ((4,), (1,))


@pytest.mark.parametrize(("side", "cells"), [(7, [0, 0, 1, 1, 2, 2, 3]), (8, [0, 0, 1, 1, 2, 2, 3, 3])])
def test_doubling_repeats_cells_and_crops(side, cells):
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert doubled(x, (side, 8))[0, 0, :, 0].tolist() == [4.0 * cell for cell in cells]


@pytest.mark.parametrize("groups", [1, 2])
def test_with_checkpoints_gradients_and_statistics_are_the_same(groups):
    found = []
    for wanted in (False, True):
        net = convert(copy.deepcopy(network()), groups)
        net.checkpoint = wanted
        for x in (image(batch=4), image(batch=4) ** 2):
            sum(level.square().mean() for level in net(x)).backward()
        found.append({name: p.grad for name, p in net.named_parameters()} | dict(net.named_buffers()))
    assert all(value is not None for value in found[0].values())
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name
    assert int(found[1]["encoder.0.0.layers.0.num_batches_tracked"]) == 2


@pytest.mark.parametrize("bf16", [False, True])
def test_with_checkpoints_two_views_before_one_backward_pass_count_once_each(bf16):
    found = []
    for wanted in (False, True):
        net = copy.deepcopy(network())
        net.checkpoint = wanted
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            views = [net(image()), net(image() ** 2)]  # as vox2vec's step
        forward = {name: value.clone() for name, value in net.named_buffers()}
        sum(level.float().square().mean() for view in views for level in view).backward()
        assert all(torch.equal(value, forward[name]) for name, value in net.named_buffers())
        found.append([*views[0], *views[1], *forward.values(), *(p.grad for p in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert int(forward["decoder.0.0.layers.0.num_batches_tracked"]) == 2


def test_checkpoints_keep_less_for_the_backward_pass():
    kept = []
    for wanted in (False, True):
        net, storages = network(), {}
        net.checkpoint = wanted

        def pack(x, storages=storages):
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            pyramid = net(torch.rand(1, 1, 32, 32, 16))
        kept.append(sum(storages.values()))
        del pyramid
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("name", ["fpn2x3", "fpn2x3-finest"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_from_a_file_comes_the_same_network(name, ndim, tmp_path):
    net = zoo.build(name, ndim, 1).eval()
    checkpoint.write(tmp_path / "a.safetensors", net.state_dict(), Card(backbone=zoo.description(name, net)))
    again = zoo.load(tmp_path / "a.safetensors")
    assert again.card.backbone["channels"] == list(net.channels)
    for ours, theirs in zip(net(image(ndim)), again.backbone(image(ndim)), strict=True):
        assert torch.equal(ours, theirs)


def test_images_are_taken_as_they_are_unless_a_mean_is_given():
    net, moved = network(), fpn("fpn4x3", mean=[0.3], std=[0.5])
    moved.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()((image() - 0.3) / 0.5)[0], moved.eval()(image())[0])


@pytest.mark.parametrize(
    "wrong", [{"name": "fpn0x3"}, {"name": "fpn4x11"}, {"name": "fpn4"}, {"ndim": 4}, {"mean": [0.5, 0.5]}]
)
def test_an_impossible_pyramid_is_refused(wrong):
    with pytest.raises(SettingError):
        fpn(**wrong)


def test_a_radiograph_given_to_a_3d_pyramid_is_refused():
    with pytest.raises(SettingError, match="3-D network of 1 channels"):
        network()(torch.rand(1, 1, 8, 8))
