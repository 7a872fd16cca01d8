import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from vesalius.losses.pruner import iou, keep, same_part_share
from vesalius.space.box import Box


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def boxes(n, ndim, rng):
    start = rng.integers(0, 6, (n, ndim))
    return np.concatenate([start, start + rng.integers(1, 8, (n, ndim))], 1)


def test_keeps_what_a_loop_keeps():
    q, bank = unit(5, 4), unit(40, 4, seed=1)
    expected = [[float(a @ p) < 0.5 for p in bank] for a in q]
    assert keep(q, bank, 0.5).tolist() == expected
    assert 0 < sum(map(sum, expected)) < 200


def test_each_anchor_prunes_its_own():
    e = torch.eye(3)
    assert torch.equal(keep(e, e, 0.8), ~torch.eye(3, dtype=torch.bool))


def test_autocast_does_not_blur_gamma():
    q, bank = unit(5, 4), unit(400, 4, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(keep(q, bank, 0.5), q @ bank.T < 0.5)
        under = keep(q, bank, 0.5)
    assert torch.equal(under, keep(q, bank, 0.5))


@pytest.mark.parametrize("ndim", [2, 3])
def test_iou_is_the_boxs_own(ndim):
    rng = np.random.default_rng(0)
    a, b = boxes(6, ndim, rng), boxes(7, ndim, rng)
    first, second = ([Box(tuple(row[:ndim].tolist()), tuple(row[ndim:].tolist())) for row in rows] for rows in (a, b))
    expected = [[x.iou(y) for y in second] for x in first]
    np.testing.assert_allclose(iou(torch.tensor(a).float(), torch.tensor(b).float()), expected, rtol=1e-6)


def test_an_empty_box_overlaps_nothing():
    empty, whole = torch.tensor([[0.3, 0.3, 0.3, 0.3]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert iou(empty, torch.cat([empty, whole])).tolist() == [[0.0, 0.0]]


def test_share_of_the_pruned_that_show_the_same_part_is_a_loops():
    rng = np.random.default_rng(1)
    q, bank = unit(6, 3), unit(50, 3, seed=1)
    box, bank_box = torch.tensor(boxes(6, 2, rng)) / 14, torch.tensor(boxes(50, 2, rng)) / 14
    bank_box[::7] = -1 / 14  # still random keys
    overlap = iou(box, bank_box)
    pairs = [(i, j) for i in range(6) for j in range(50) if q[i] @ bank[j] >= 0.4 and bank_box[j, 0] >= 0]
    expected = np.mean([float(overlap[pair]) >= 0.5 for pair in pairs])
    assert 0 < expected < 1
    np.testing.assert_allclose(same_part_share(q, bank, 0.4, box, bank_box, block=16), expected)


def test_share_is_1_of_equal_parts_0_of_parts_apart_and_unknown_where_none_is_pruned():
    e, left, right = torch.eye(2)[:1], torch.tensor([[0.0, 0.0, 1.0, 0.5]]), torch.tensor([[0.0, 0.5, 1.0, 1.0]])
    assert same_part_share(e, e, 0.8, left, left) == 1
    assert same_part_share(e, e, 0.8, left, right) == 0
    assert torch.isnan(same_part_share(e, -e, 0.8, left, left))
