"""Probes on pyramids of whole volumes: the cells that belong to a patch, and the same answer as the network itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes.balls import places, volume
from vesalius import zoo
from vesalius.chance import generator
from vesalius.evaluate import patches, whole
from vesalius.evaluate.metrics import dice
from vesalius.evaluate.patches import Config
from vesalius.evaluate.study import Study

CONFIG = Config(patch=(12, 12, 8), steps=2, batch=3, whole=True, frozen=1.0, head="linear")


class Places(torch.nn.Module):
    """A pyramid whose features are where a cell lies, in voxels."""

    channels, strides, ndim = (3, 3), (1, 4), 3

    def forward(self, x):
        """(B, 1, *S) -> [(B, 3, *S), (B, 3, *S / 4)]."""
        grid = torch.stack(torch.meshgrid(*(torch.arange(n) for n in x.shape[2:]), indexing="ij")).float()[None]
        return [grid, grid[:, :, ::4, ::4, ::4]]


def test_a_patch_holds_its_voxel_and_the_cells_of_every_level_over_it():
    probe = whole.Probe(Places(), [volume(0)], [], ["ball"], replace(CONFIG, near=1.0, batch=30))
    pyramid, masks, inside, known = probe.batch(generator(2), 0)
    assert masks.flatten(1).any(1).all()
    fine, coarse = pyramid
    starts = fine[:, :, 0, 0, 0]
    assert torch.equal(coarse[:, :, 0, 0, 0], starts)
    assert not (starts % 4).any()
    for at, start in enumerate(starts.int().tolist()):
        box = tuple(slice(a, a + side) for a, side in zip(start, CONFIG.patch, strict=True))
        here = torch.from_numpy(probe.pool[0].mask[0][box]).float()
        assert torch.equal(patches.padded(here[None], CONFIG.patch)[0], masks[at, 0])
    assert inside.shape == (30, 1, 12, 12, 8)
    assert known.tolist() == [[1.0]]


def test_every_voxel_is_in_a_patch_whatever_the_sides():
    for n, side in ((20, 12), (13, 12), (7, 12), (41, 8), (16, 16)):
        for voxel in range(n):
            start = whole.begin(generator(n, voxel), voxel, n, side, 8)
            assert start % 8 == 0
            assert start <= voxel < start + side
            assert start < n


def test_a_linear_probe_predicts_what_the_network_with_its_head_does():
    torch.manual_seed(0)
    probe = whole.Probe(zoo.build("fpn4x3", 3, 1).eval(), [volume(0)], [volume(1)], ["ball"], CONFIG)
    outcome = probe.run([0], 3)
    (found,) = outcome.predictions
    with torch.inference_mode():
        logits = outcome.network.eval()(volume(1).image[None])[0]
    np.testing.assert_allclose(found, logits.sigmoid().numpy() * volume(1).body, atol=2e-3)
    assert outcome.parameters == 4 + 8 + 16 + 1


class Faint(torch.nn.Module):
    """A backbone, its features a thousandth of what they were."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.ndim = backbone, backbone.ndim
        self.channels, self.strides, self.in_channels = backbone.channels, backbone.strides, backbone.in_channels

    def forward(self, x):
        """As the backbone's."""
        return [0.001 * level for level in self.backbone(x)]


@pytest.mark.parametrize("cached", [True, False])
def test_a_probe_finds_the_same_in_features_that_are_fainter(cached):
    torch.manual_seed(0)
    strong = zoo.build("fpn4x2", 3, 1).eval()
    config = replace(CONFIG, whole=cached, steps=20, lr=1e-2)
    make = whole.Probe if cached else patches.Patches
    found = []
    for backbone, standardise in ((strong, True), (Faint(strong), True), (Faint(strong), False)):
        own = replace(config, standardise=standardise)
        outcome = make(backbone, [volume(0), volume(1)], [volume(8)], ["ball"], own).run([0, 1], 0)
        found.append(next(iter(outcome.predictions)))
    assert np.abs(found[0] - found[1]).max() < 0.05  # float16 has three digits
    assert np.abs(found[0] - found[2]).max() > 0.2


def test_it_finds_the_ball_and_learns_the_same_from_the_same_seed():
    torch.manual_seed(0)
    config = replace(CONFIG, patch=(16, 16, 16), steps=80, lr=1e-2, head="nonlinear")
    study = whole.Probe(zoo.build("fpn4x2", 3, 1).eval(), [volume(i) for i in range(3)], [volume(8)], ["ball"], config)
    first, again = (next(iter(study.run([0, 1, 2], 0).predictions)) for _ in range(2))
    assert np.array_equal(first, again)
    assert dice(first[0] > 0.5, volume(8).mask[0]) > 0.6  # 0 before training
    assert study.places[0].keys() == places(volume(0)).keys()


def test_a_linear_head_on_one_level_learns_from_no_other():
    torch.manual_seed(0)
    one = replace(CONFIG, levels=(2,))
    probe = whole.Probe(zoo.build("fpn4x3", 3, 1).eval(), [volume(0)], [volume(1)], ["ball"], one)
    outcome = probe.run([0], 3)
    assert outcome.parameters == 16 + 1
    coarse = next(iter(outcome.predictions))[0][:, :16]  # air follows
    assert np.array_equal(coarse[:4, :4, :4], np.full((4, 4, 4), coarse[0, 0, 0]))
    assert Study("phantom:", "linear", settings={"levels": (0, 2)}).called("run") == "run level 0+2"


def test_an_encoder_without_a_map_at_full_resolution_can_be_probed():
    torch.manual_seed(0)
    config = replace(CONFIG, patch=(32, 32, 32), batch=2)
    probe = whole.Probe(zoo.build("resnet18", 3, 1).eval(), [volume(0)], [volume(1)], ["ball"], config)
    (found,) = probe.run([0], 3).predictions
    assert found.shape == (1, *volume(1).shape)
