import copy

import numpy as np
import pytest
import torch

from vesalius import features, zoo
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import segmentation
from vesalius.evaluate.dense import Config, Probe
from vesalius.evaluate.metrics import dice
from vesalius.features.subjects import Subject

SMALL = Config(size=32, steps=3, batch=2)


class Image(torch.nn.Module):
    """A backbone without weights: the image itself, and its means over squares (cubes) of two."""

    def __init__(self, ndim=2):
        super().__init__()
        self.ndim, self.in_channels, self.channels, self.strides = ndim, 1, (1, 1), (1, 2)

    def forward(self, x):
        pool = {2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}[self.ndim]
        return [x, pool(x, 2, ceil_mode=True)]


def subject(i, ndim=2, structures=("bright",), side=24):
    """Noise, and a mask of what is above half."""
    pixels = generator(i).integers(0, 256, (1, *(side,) * ndim)).astype(np.uint8)
    mask = np.packbits(np.repeat(pixels > 127, len(structures), 0), axis=0)
    return Subject(f"i{i}", f"p{i}", pixels, "0..1", {}, structures, mask)


def resnet_probe(config=SMALL, n=3):
    torch.manual_seed(0)
    some = [subject(i, side=40) for i in range(n)]
    return Probe(zoo.build("resnet18"), some, some[:2], ("bright",), config)


@pytest.mark.parametrize(("ndim", "side"), [(2, 24), (3, 12)])
def test_on_the_image_itself_a_linear_head_learns_a_threshold(ndim, side):
    pool, test = ([subject(i, ndim, side=side) for i in some] for some in (range(4), range(10, 12)))
    probe = Probe(Image(ndim), pool, test, ("bright",), Config(size=side, steps=150, batch=4, lr=0.2))
    outcome = probe.run(range(4), seed=0)
    assert outcome.parameters == 3  # two weights and a bias
    found = list(outcome.predictions)
    assert [p.shape for p in found] == [(1, *(side,) * ndim)] * 2
    assert min(dice(p[0] > 0.5, s.mask[0]) for p, s in zip(found, test, strict=True)) > 0.95


@pytest.mark.parametrize("head", ["linear", "nonlinear"])
def test_cached_features_tell_what_the_network_tells_from_the_images(head):
    probe = resnet_probe(Config(size=32, head=head, steps=3, batch=2))
    outcome = probe.run([0, 1, 2], seed=1)
    fresh = segmentation.predict(outcome.network, probe.test, 32)
    for cached, computed in zip(outcome.predictions, fresh, strict=True):
        np.testing.assert_allclose(cached, computed, atol=2e-3)  # float16
        assert np.ptp(cached) > 0.01


def test_features_in_memory_are_those_of_the_resized_images():
    probe = resnet_probe()
    images = torch.stack([segmentation.resized(subject(i, side=40).image, 32) for i in (2, 0)])
    for kept, computed in zip(probe.seen(torch.tensor([2, 0])), features.dense(probe.backbone, images), strict=True):
        torch.testing.assert_close(kept, computed, rtol=1e-3, atol=1e-5)


def test_same_seed_same_predictions_and_the_seed_and_the_images_count():
    probe = resnet_probe()
    state = torch.get_rng_state()
    one, two, other, fewer = (
        np.stack(list(probe.run(own, seed).predictions))
        for own, seed in (([0, 1], 1), ([0, 1], 1), ([0, 1], 2), ([0], 1))
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, fewer)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_backbone_stays_bit_for_bit():
    torch.manual_seed(0)
    backbone = zoo.build("resnet18").train()
    before = copy.deepcopy(backbone.state_dict())
    some = [subject(i, side=40) for i in range(2)]
    outcome = Probe(backbone, some, some, ("bright",), SMALL).run([0, 1], 0)
    next(iter(outcome.predictions))
    assert torch.is_grad_enabled()  # also between one prediction and the next
    assert not torch.is_inference_mode_enabled()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(p.grad is None for p in backbone.parameters())
    assert backbone.training


def test_a_structure_that_nobody_contoured_is_not_learned():
    pool = [subject(0, structures=("a",)), subject(1, structures=("a", "b"))]
    probe = Probe(Image(), pool, [], ("a", "b"), Config(size=24, steps=5))
    start, head = probe.fresh(0), probe.fresh(0)
    probe.train(head, [0], 0)
    for before, after in zip(start.parameters(), head.parameters(), strict=True):
        assert torch.equal(before[1], after[1])
    probe.train(head, [1], 0)
    assert all(not torch.equal(a[1], b[1]) for a, b in zip(start.parameters(), head.parameters(), strict=True))


def test_features_beyond_float16_and_images_without_masks_are_errors_that_name_the_image():
    class Loud(Image):
        def forward(self, x):
            return [level * 70_000 * (x.mean() > 0) for level in super().forward(x)]

    with pytest.raises(DataError, match="i5: has features beyond 65,504"):
        Probe(Loud(), [], [subject(5)], ("bright",), SMALL)
    with pytest.raises(DataError, match="i6: has no mask of heart"):
        Probe(Image(), [subject(6)], [], ("heart",), SMALL)
    with pytest.raises(SettingError, match="setting head is 'deep'"):
        Config(head="deep")
