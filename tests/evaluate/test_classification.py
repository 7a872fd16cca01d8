import copy

import numpy as np
import pytest
import torch
from torch import nn

from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.evaluate.augment import crop_matrix, moved
from vesalius.evaluate.classification import Config, FineTuning, batch, crops, kept, predict, stacked
from vesalius.features.subjects import Subject
from vesalius.models.classifier import Classifier

STILL = {"area": (1.0, 1.0), "rotation": 0.0, "flip": 0.0}
CONFIG = Config(size=28, steps=40, batch=8, lr=0.02)


class Tiny(nn.Module):
    """Two maps of one convolution."""

    in_channels = 1

    def __init__(self, ndim=2):
        super().__init__()
        conv, norm = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[ndim - 2]
        self.ndim, self.channels, self.strides = ndim, (8,), (4,)
        self.layers = nn.Sequential(conv(1, 8, 4, 4), norm(8), nn.ReLU())

    def forward(self, x):
        return [self.layers(x)]


def subject(i, ndim=2, dtype=np.uint8, **classes):
    """Noise; images of odd number are brighter."""
    pixels = generator(i).integers(0, 120, (1, *(40,) * ndim)) + 100 * (i % 2)
    scale = np.iinfo(dtype).max // 255
    return Subject(f"i{i}", f"p{i}", (pixels * scale).astype(dtype), "0..1", {}, classes=classes or {"bright": i % 2})


def backbone(ndim=2):
    torch.manual_seed(0)
    return Tiny(ndim)


@pytest.mark.parametrize("ndim", [2, 3])
def test_it_tells_bright_from_dark_in_images_never_seen(ndim):
    pool, test = ([subject(i, ndim) for i in some] for some in (range(12), range(20, 28)))
    outcome = FineTuning(backbone(ndim), pool, test, ("bright",), CONFIG).run(range(12), seed=0)
    scores = np.array(list(outcome.predictions))
    assert scores.shape == (8, 1)
    assert scores[1::2].min() > 0.8 > 0.2 > scores[::2].max()
    assert outcome.parameters == 8 * (4**ndim + 1) + 16 + 9


def test_same_seed_same_scores_and_the_backbone_is_as_it_was():
    start = backbone()
    before = copy.deepcopy(start.state_dict())
    tuning = FineTuning(start, [subject(i) for i in range(6)], [subject(9)], ("bright",), Config(size=28, steps=3))
    one, two, other = (next(iter(tuning.run((0, 1, 3), seed).predictions)) for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())


def test_frozen_to_the_end_the_head_alone_learns():
    start = backbone()
    config = Config(size=28, steps=3, frozen=1.0)
    outcome = FineTuning(start, [subject(0), subject(1)], [subject(2)], ("bright",), config).run((0, 1), 0)
    learned = outcome.network.backbone.state_dict()
    assert outcome.parameters == 9
    assert all(torch.equal(value, learned[name]) for name, value in start.state_dict().items())


def test_what_is_not_labelled_changes_nothing():
    """A class that is never labelled: its row of the head stays, and no score is given. Images without labels are left out."""
    pool = [subject(i, bright=i % 2, other=np.nan) for i in range(4)]
    unlabelled = subject(4, bright=np.nan)
    one, two = (
        FineTuning(backbone(), some, [subject(7)], ("bright", "other"), Config(size=28, steps=3)).run(
            range(len(some)), 3
        )
        for some in (pool, [*pool, unlabelled])
    )
    torch.manual_seed(3)
    first = nn.Linear(8, 2).weight
    assert (one.network.head.weight == first).all(1).tolist() == [False, True]
    scores = [next(iter(outcome.predictions)) for outcome in (one, two)]
    assert np.isfinite(scores[0]).tolist() == [True, False]
    np.testing.assert_array_equal(*scores)


def test_of_one_value_nothing_is_learned():
    tuning = FineTuning(backbone(), [subject(1), subject(3)], [subject(2)], ("bright",), CONFIG)
    outcome = tuning.run((0, 1), 0)
    assert np.isnan(list(outcome.predictions)).all()
    assert (outcome.parameters, outcome.network) == (0, None)


def test_classes_that_exclude_each_other_sum_to_one_and_are_told_apart():
    pool = [subject(i, dark=1 - i % 2, bright=i % 2) for i in range(8)]
    config = Config(size=28, steps=40, batch=8, lr=0.02, exclusive=True)
    outcome = FineTuning(backbone(), pool, [subject(10), subject(11)], ("dark", "bright"), config).run(range(8), 0)
    scores = np.array(list(outcome.predictions))
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-6)
    assert scores.argmax(1).tolist() == [0, 1]


def test_labels_that_do_not_exclude_each_other_are_said():
    config = Config(size=28, exclusive=True)
    for labels, said in (((1, 1), "several"), ((0, 0), "none")):
        with pytest.raises(DataError, match=f"i0: has {said} of a, b"):
            FineTuning(backbone(), [subject(0, a=labels[0], b=labels[1])], [], ("a", "b"), config)
    with pytest.raises(SettingError, match="alone cannot"):
        FineTuning(backbone(), [subject(0)], [subject(1)], ("bright",), config)
    with pytest.raises(SettingError, match="setting area"):
        Config(area=(0.0, 1.0))


def test_ten_crops_are_corners_and_centre_and_their_mirror_images():
    image = torch.arange(32.0 * 32).view(1, 1, 32, 32)
    found = {tuple(view[0, 0, [0, 0, -1], [0, -1, 0]].tolist()) for view in crops(image, Config(size=28))}
    expected = set()
    for row, column in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
        left, right = 32 * row + column, 32 * row + column + 27
        expected |= {(left, right, left + 27 * 32), (right, left, right + 27 * 32)}
    assert found == expected
    assert len(list(crops(image, Config(size=28, flip=0)))) == 5
    (centre,) = crops(image, Config(size=28, ten_crop=False))
    assert torch.equal(centre, image[:, :, 2:30, 2:30])
    volume = torch.rand(1, 1, 8, 8, 8)
    assert torch.equal(next(crops(volume, Config(size=8))), volume)


def test_of_an_image_of_one_grey_ten_crops_say_what_one_says_and_of_others_the_mean():
    network = Classifier(backbone(), 2)
    plain, ten = Config(size=28, ten_crop=False), Config(size=28)
    one = kept([Subject("a", "a", np.full((1, 50, 60), 77, np.uint8), "0..1", {})], ten)
    np.testing.assert_allclose(*(list(predict(network, one, config)) for config in (plain, ten)), rtol=1e-6)
    images = kept([subject(i) for i in range(3)], ten)
    network.eval()
    with torch.no_grad():
        each = [network(view).sigmoid() for view in crops(stacked(images, "cpu"), ten)]
    assert len(each) == 10
    np.testing.assert_allclose(list(predict(network, images, ten)), sum(each) / 10, rtol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_without_augmentation_a_view_is_the_image(ndim):
    images, config = kept([subject(i, ndim) for i in range(3)], Config(size=28, **STILL)), Config(size=28, **STILL)
    chosen, views = batch(images, torch.tensor([2, 1]), config, generator(0))
    assert set(chosen.tolist()) == {1, 2}
    whole = torch.nn.functional.interpolate(
        stacked(images, "cpu")[chosen], (28,) * ndim, mode=("bilinear", "trilinear")[ndim - 2], align_corners=False
    )
    torch.testing.assert_close(views, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_crop_shows_a_box_of_the_image_and_mirrors_left_and_right(ndim):
    """In an image of its own coordinates, a view shows evenly spaced ones, as many voxels apart as the box is larger."""
    shape = (20, 30, 24)[:ndim]
    image = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij"))[None]
    for i in range(8):
        matrix = crop_matrix(generator(i), shape, (0.2, 0.5), 0.0, float(i % 2))
        view = moved(image, matrix[None], (40,) * ndim)[0]
        for axis in range(ndim):
            line = view[axis].movedim(axis, 0)[5:35].flatten(1)[:, 20**ndim // 40]
            steps = line.diff()
            mirrored = i % 2 and axis == (1, 0)[ndim - 2]
            assert ((steps < 0) if mirrored else (steps > 0)).all()
            torch.testing.assert_close(steps, steps.mean().expand_as(steps), atol=1e-3, rtol=0)
            assert abs(float(steps.mean())) * 40 == pytest.approx(round(abs(float(steps.mean())) * 40), abs=0.02)


def test_images_of_16_bit_are_kept_as_half_floats_of_the_same_grey():
    (eight,), (sixteen,) = (kept([subject(1, dtype=dtype)], CONFIG) for dtype in (np.uint8, np.uint16))
    assert (eight.dtype, sixteen.dtype) == (torch.uint8, torch.float16)
    torch.testing.assert_close(
        eight / 255, sixteen.float(), atol=1.1 / 255, rtol=0
    )  # bytes are rounded after each axis
