import numpy as np
import pytest
import torch

from vesalius.anatomy.field import Lattice, peaks
from vesalius.chance import generator


@pytest.mark.parametrize("shape", [(64, 96), (30, 40, 20)])
def test_cells_cover_the_image_evenly_and_hold_their_middles(shape):
    lattice = Lattice.over(shape, 4)
    assert min(lattice.cells) == 4
    assert np.ptp(lattice.side) / lattice.side.mean() < 0.1
    assert lattice.nearest(lattice.middles).tolist() == list(range(np.prod(lattice.cells)))
    np.testing.assert_allclose(lattice.middles.mean(0), (np.array(shape) - 1) / 2)


def test_points_beyond_the_image_belong_to_the_cell_at_its_edge():
    lattice = Lattice.over((40, 40), 4)
    assert lattice.nearest(np.array([[-9.0, -9.0], [99.0, 99.0]])).tolist() == [0, 15]


@pytest.mark.parametrize("shape", [(64, 96), (40, 40, 48)])
def test_a_peak_between_cells_is_found_there(shape):
    lattice, ndim = Lattice.over(shape, 8), len(shape)
    truth = np.array(shape) * generator(1).uniform(0.3, 0.7, (6, ndim))
    heat = -((lattice.middles[None] - truth[:, None]) ** 2).sum(2) / min(shape) ** 2
    found = peaks(torch.from_numpy(heat), lattice, 0.0, generator(0))
    np.testing.assert_allclose(found.places, truth, atol=1e-6 * min(shape))


def test_margin_is_over_the_best_place_that_is_not_the_same_peak():
    lattice = Lattice((10, 1), (10, 1))
    heat = torch.tensor([[0, 0.8, 0.9, 0.8, 0, 0, 0.5, 0, 0, 0]])
    found = peaks(heat, lattice, 1.5, generator(0))
    assert found.margins[0] == pytest.approx(0.4)
    assert found.cosines[0] == pytest.approx(0.9)


def test_a_flat_map_points_anywhere_evenly():
    lattice = Lattice.over((40, 40), 4)
    found = peaks(torch.zeros(4000, 16), lattice, 0.0, generator(0))
    counts = np.bincount(lattice.nearest(found.places), minlength=16)
    assert counts.min() > 180
    assert counts.max() < 320
