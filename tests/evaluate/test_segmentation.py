import copy

import numpy as np
import pytest
import torch

from vesalius import zoo
from vesalius.chance import generator
from vesalius.errors import DataError
from vesalius.evaluate import segmentation
from vesalius.evaluate.metrics import dice
from vesalius.evaluate.segmentation import Config, batch, predict, samples, train
from vesalius.features.subjects import Subject
from vesalius.models.decoder import UNet

STILL = Config(size=32, batch=4, rotation=0, zoom=1, shift=0, light=0)


def subject(i, ndim=2, structures=("bright",)):
    """A bright ball in noise, elsewhere in every image; the mask is the ball."""
    shape = (48,) * ndim
    rng = generator(i)
    middle = rng.uniform(14, 34, ndim).reshape(-1, *(1,) * ndim)
    mask = (((np.indices(shape) - middle) ** 2).sum(0) < 100)[None]
    pixels = (40 * rng.random((1, *shape)) + 120 * mask).astype(np.uint8)
    return Subject(
        f"i{i}", f"p{i}", pixels, "0..1", {}, structures, np.packbits(np.repeat(mask, len(structures), 0), axis=0)
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_without_augmentation_a_batch_is_the_images(ndim):
    data = samples([subject(i, ndim) for i in range(4)], ("bright",), 32)
    images, masks, known = batch(data, STILL, generator(0))
    order = [int((images[i] - data.images).flatten(1).abs().sum(1).argmin()) for i in range(4)]
    assert sorted(order) == [0, 1, 2, 3]
    torch.testing.assert_close(images, data.images[order], atol=1e-4, rtol=0)
    torch.testing.assert_close(masks, data.masks[order], atol=1e-4, rtol=0)
    assert known.all()


@pytest.mark.parametrize("ndim", [2, 3])
def test_images_and_masks_are_moved_alike(ndim):
    mask = torch.zeros(1, 1, *(32,) * ndim)
    mask[(..., *(slice(8, 20),) * ndim)] = 1
    data = segmentation.Samples(mask, mask, torch.ones(1, 1))
    moving = Config(size=32, batch=8, light=0)
    images, masks, _ = batch(data, moving, generator(1))
    torch.testing.assert_close(images, masks)
    assert (images - mask).abs().mean() > 0.005
    assert images.mean((1, *range(2, images.ndim))).std() > 0  # zoomed


@pytest.mark.parametrize("ndim", [2, 3])
def test_windows_are_cut_at_voxels_anywhere_inside(ndim):
    """An image that is its own coordinates says where each window lies: whole, inside, and not always the same."""
    at = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * ndim, indexing="ij")) / 16
    data = segmentation.Samples(at[None], torch.ones(1, 1, *(16,) * ndim), torch.ones(1, 1))
    still = Config(size=16, window=8, batch=6, rotation=0, zoom=1, shift=0, light=0)
    images, masks, _ = batch(data, still, generator(0))
    assert images.shape[2:] == (8,) * ndim
    corner = images.flatten(2)[:, :, 0]
    steps = images.flatten(2) - corner[:, :, None]
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-4, rtol=0)  # one voxel is one voxel
    assert len(corner.unique(dim=0)) == 6
    assert masks.mean() > 0.9


def test_small_sets_are_repeated_to_fill_a_batch():
    data = samples([subject(i) for i in range(3)], ("bright",), 16)
    assert len(batch(data, Config(size=16, batch=8), generator(0))[0]) == 8


def test_it_learns_to_find_the_ball_in_images_never_seen():
    torch.manual_seed(0)
    network = UNet(zoo.build("resnet18"), 1, widths=(32, 16, 16, 8, 8))
    own, other = [subject(i) for i in range(8)], [subject(i) for i in range(20, 24)]
    config = Config(size=32, steps=60, batch=4, lr=3e-3, light=0.1)
    losses = train(network, samples(own, ("bright",), 32), config, seed=0)
    assert losses[-1] < 0.5 * losses[0]
    found = predict(network, other, 32)
    assert np.mean([dice(p[0] > 0.5, s.mask[0]) for p, s in zip(found, other, strict=True)]) > 0.8


def test_same_seed_same_weights_and_frozen_steps_leave_the_backbone():
    torch.manual_seed(0)
    start = UNet(zoo.build("resnet18"), 1, widths=(8,))
    data, config = samples([subject(i) for i in range(3)], ("bright",), 32), Config(size=32, steps=2, batch=2)
    one, two = copy.deepcopy(start), copy.deepcopy(start)
    assert train(one, data, config, 5) == train(two, data, config, 5)
    frozen = copy.deepcopy(start)
    train(frozen, data, Config(size=32, steps=2, batch=2, frozen=1.0), 5)
    same = [
        torch.equal(a, b)
        for a, b in zip(start.backbone.state_dict().values(), frozen.backbone.state_dict().values(), strict=True)
    ]
    assert all(same)
    assert not torch.equal(start.head.weight, frozen.head.weight)


def test_structures_that_were_not_contoured_are_unknown_and_none_at_all_is_an_error():
    some = [subject(0, structures=("a", "b")), subject(1, structures=("b",))]
    assert samples(some, ("a", "b"), 16).known.tolist() == [[1, 1], [0, 1]]
    with pytest.raises(DataError, match="i1: has no mask of a"):
        samples(some, ("a",), 16)


def test_predicting_changes_nothing():
    network = UNet(zoo.build("resnet18"), 1, widths=(8,)).train()
    before = copy.deepcopy(network.state_dict())
    (found,) = predict(network, [subject(0)], 32)
    assert found.shape == (1, 48, 48)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
