import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from vesalius.anatomy.search import Maps
from vesalius.chance import generator


def maps(alike, n=40, cells=30, d=64):
    """Vectors that share a direction, the more the more alike: up to cosines that bf16 cannot tell apart."""
    own = torch.from_numpy(generator(0).normal(size=(n, cells, d))).float()
    return normalize(alike * torch.ones(d) + own, dim=2)


@pytest.mark.parametrize("alike", [0.0, 1.0, 30.0])
def test_search_is_the_loop_over_images(alike):
    vectors = maps(alike)
    for wanted in (vectors[5, 3], normalize(torch.arange(64.0), dim=0)):
        cells, cosines = Maps(vectors).search(wanted)
        for i, one in enumerate(vectors):
            slow = cosine_similarity(one.double(), wanted.double()[None], dim=1)
            assert slow[cells[i]] == pytest.approx(float(slow.max()), abs=1e-6)
            assert cosines[i] == pytest.approx(float(slow.max()), abs=1e-6)


def test_a_vector_finds_itself():
    vectors = maps(1.0)
    cells, cosines = Maps(vectors).search(vectors[7, 21])
    assert cells[7] == 21
    assert cosines[7] == pytest.approx(1, abs=1e-6)
