"""Patches of volumes: round what is asked for, within the body, and a network that learns from them and is put together."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes.balls import places, volume
from vesalius import zoo
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import patches
from vesalius.evaluate.metrics import dice
from vesalius.evaluate.patches import Config, Patches, batch, built, train

SMALL = Config(patch=(12, 12, 8), steps=2, batch=3)


def test_patches_lie_round_the_structure_or_in_the_body():
    subject, near = volume(0), replace(SMALL, near=1.0, batch=20)
    images, masks, inside, known = batch(generator(1), subject, places(subject), ["ball"], near)
    assert images.shape == (20, 1, 12, 12, 8)
    assert masks.flatten(1).any(1).all()
    assert known.tolist() == [[1.0]]
    torch.testing.assert_close(images[inside == 0], torch.full_like(images[inside == 0], 350 / 2350))
    _, _, anywhere, _ = batch(generator(1), subject, places(subject), ["ball"], replace(near, near=0.0))
    assert anywhere.flatten(1).any(1).all()


def test_a_volume_smaller_than_the_patch_is_padded_and_the_padding_is_no_body():
    subject = volume(0, (20, 24, 6))
    images, masks, inside, _ = batch(generator(0), subject, places(subject), ["ball"], SMALL)
    assert images.shape[2:] == (12, 12, 8)
    assert not inside[..., 6:].any()
    torch.testing.assert_close(images[..., 6:], torch.full_like(images[..., 6:], 350 / 2350))  # air
    assert not masks[..., 6:].any()


def test_a_feature_pyramid_gets_a_head_and_a_way_down_a_way_up():
    names = {
        name: type(built(zoo.build(name, 3, 1), 2, SMALL, 0)).__name__ for name in ("fpn4x2", "unet4x2", "resnet18")
    }
    assert names == {"fpn4x2": "WithHead", "unet4x2": "UNet", "resnet18": "UNet"}
    assert not built(zoo.build("unet4x2", 3, 1), 2, replace(SMALL, skips=False), 0).skips
    with pytest.raises(SettingError, match="no skips"):
        built(zoo.build("fpn4x2", 3, 1), 2, replace(SMALL, skips=False), 0)
    with pytest.raises(SettingError, match="no skips"):
        Config(head="linear", skips=False)


@pytest.mark.parametrize("head", ["linear", "nonlinear", "unet"])
def test_a_probe_leaves_the_encoder_and_a_fine_tuning_the_one_it_was_given(head):
    torch.manual_seed(0)
    backbone = zoo.build("fpn4x2", 3, 1)
    before = copy.deepcopy(backbone.state_dict())
    for frozen in (1.0, 0.0):
        outcome = Patches(backbone, [volume(0)], [volume(1)], ["ball"], replace(SMALL, head=head, frozen=frozen)).run(
            [0], 3
        )
        (found,) = outcome.predictions
        assert found.shape == (1, 20, 24, 18)
        assert not found[:, :, -4:].any()
        own = outcome.network.backbone.state_dict()
        assert all(torch.equal(own[name], value) for name, value in before.items()) is (frozen == 1.0)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_where_there_is_no_body_nothing_is_found_of_any_class():
    subject = volume(0)
    network = built(zoo.build("fpn4x2", 3, 1), 3, SMALL, 0)
    empty = replace(subject, inside=np.zeros_like(subject.inside))
    found, whole = patches.predict(network, [empty, replace(subject, inside=None)], SMALL)
    assert found.shape == (3, 20, 24, 18)
    assert not found.any()  # methods, vox2vec oracle 6
    assert (whole > 0).all()


def test_it_learns_to_find_the_ball_in_volumes_never_seen():
    torch.manual_seed(0)
    config = Config(patch=(16, 16, 16), steps=60, batch=3, lr=1e-2, head="nonlinear", frozen=0.0, ramp=0.0)
    study = Patches(zoo.build("fpn4x2", 3, 1), [volume(i) for i in range(3)], [volume(8), volume(9)], ["ball"], config)
    found = study.run([0, 1, 2], 0).predictions
    assert np.mean([dice(p[0] > 0.5, s.mask[0]) for p, s in zip(found, study.test, strict=True)]) > 0.8


def test_same_seed_same_losses_and_unknown_structures_count_nowhere():
    backbone = zoo.build("fpn4x2", 3, 1)
    one, two = (
        train(
            built(backbone, 2, replace(SMALL, head="linear"), 1),
            [volume(0)],
            ["ball", "other"],
            replace(SMALL, frozen=1.0),
            5,
        )
        for _ in range(2)
    )
    assert one == two
    alone, fresh = (built(backbone, 2, replace(SMALL, head="linear"), 1) for _ in range(2))
    train(alone, [volume(0)], ["ball", "other"], replace(SMALL, frozen=1.0), 5)
    learned, before = alone.head.levels[0].weight, fresh.head.levels[0].weight
    assert torch.equal(learned[1], before[1])
    assert not torch.equal(learned[0], before[0])


def test_a_volume_without_labels_is_named():
    with pytest.raises(DataError, match="i0: has no mask of spleen"):
        patches.voxels(volume(0), ["spleen"])


def test_batch_norm_wants_two_cells():
    backbone = zoo.build("fpn4x3", 3, 1)
    with pytest.raises(SettingError, match="one cell"):
        patches.built(backbone, 1, Config(patch=(4, 4, 4), batch=1, head="nonlinear"), 0)
    patches.built(backbone, 1, Config(patch=(4, 4, 4), batch=1, head="linear"), 0)
