import numpy as np
import pytest
import torch

from vesalius.anatomy import compositionality
from vesalius.anatomy.compose import PARTS, cut_patches, split
from vesalius.chance import generator
from vesalius.space.box import Box


def random(shape, draw="exponential", seed=0):
    return torch.from_numpy(getattr(generator(seed), draw)(size=shape)).float()


@pytest.mark.parametrize("shape", [(40, 60), (24, 36, 48)])
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_parts_tile_the_patch(n, shape):
    box = Box((3, 5, 1)[: len(shape)], tuple(a + s for a, s in zip((3, 5, 1), shape, strict=False)))
    count = np.zeros(box.stop, int)
    for part in split(box, n):
        count[part.slices] += 1
    assert (count[box.slices] == 1).all()
    assert count.sum() == box.size


@pytest.mark.parametrize("ndim", [2, 3])
def test_patches_are_seen_at_one_size_and_parts_lie_where_they_were(ndim):
    image = torch.linspace(0, 1, 64).expand(1, *(64,) * ndim).contiguous()  # the last axis is a ramp
    cut = cut_patches(generator(1), image, 5, 0.25, 8)
    assert cut.wholes.shape == (5, 1, *(8,) * ndim)
    assert all(cut.parts[n].shape == (5, n, 1, *(8,) * ndim) for n in PARTS)
    for n in (2, 4):  # the mean of a patch is that of its parts, but for halves of an odd side
        means = cut.parts[n].flatten(2).mean((1, 2))
        torch.testing.assert_close(means, cut.wholes.flatten(1).mean(1), atol=0.01, rtol=0)


def test_a_patch_that_shows_nothing_is_drawn_anew():
    image = torch.zeros(1, 100, 100)
    image[:, 60:] = torch.rand(40, 100, generator=torch.Generator().manual_seed(0))
    assert cut_patches(generator(0), image, 20, 0.2, 8).wholes.flatten(1).std(1).min() > 0


def test_an_additive_embedding_has_cosine_one_whether_parts_are_summed_or_averaged():
    parts = random((4, 6, 3, 10), "normal")
    found = compositionality.aggregate_cosine(parts.sum(2), parts)
    np.testing.assert_allclose(found, 1, atol=1e-6)
    wholes = random((4, 6, 10), "normal", 1)
    summed = torch.nn.functional.cosine_similarity(wholes, parts.sum(2), dim=-1)
    np.testing.assert_allclose(compositionality.aggregate_cosine(wholes, parts), summed, atol=1e-6)


@pytest.mark.parametrize(("draw", "chance"), [("exponential", 0.632), ("normal", 0.455)])
def test_chance_of_features_that_are_never_negative_is_high(draw, chance):
    wholes, parts = random((20, 8, 512), draw).relu(), random((20, 8, 4, 512), draw, 1).relu()
    assert compositionality.aggregate_cosine(wholes, parts).mean() == pytest.approx(chance, abs=0.01)


def test_shuffled_parts_are_of_other_patients_each_from_another_draw():
    patients = np.array(["a", "a", "b", "c"])
    codes = torch.eye(4)[:, None, None].expand(4, 8, 4, 4)  # every part says whose it is
    own = torch.eye(4)[:, None].expand(4, 8, 4)
    found = compositionality.shuffled_cosine(own, codes, patients, 0)
    np.testing.assert_allclose(found, 0, atol=1e-7)
    assert (compositionality.aggregate_cosine(own, codes) == 1).all()
    assert compositionality.shuffled_cosine(own[:2], codes[:2], np.array(["a", "b"]), 0).max() < 1e-7


def test_a_constant_embedding_closes_nothing():
    assert compositionality.of_patient(1.0, 1.0) == {"cosine": 1, "cosine_shuffled": 1, "gain": 0, "closed": 0}
    assert compositionality.of_patient(1.0, 0.6)["closed"] == pytest.approx(1)


def test_the_mode_is_where_most_are():
    values = np.concatenate([generator(0).normal(0.3, 0.02, 900), generator(1).normal(0.8, 0.1, 300)])
    assert compositionality.mode(values) == pytest.approx(0.3, abs=0.02)
    assert compositionality.mode(np.full(9, 0.5)) == 0.5
