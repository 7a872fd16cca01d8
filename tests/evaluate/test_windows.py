"""Windows put together again: what a network says of each voxel alone comes back as it is, whatever the size."""

import pytest
import torch

from vesalius.errors import SettingError
from vesalius.evaluate.windows import BLENDS, slide


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (5, 33), (24, 19, 9), (7, 8, 30)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_a_network_that_says_what_it_sees_gives_the_image_back(blend, shape, overlap):
    image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    window = (16, 16, 8)[: len(shape)]
    torch.testing.assert_close(slide(lambda x: 2 * x, image, window, blend=blend, overlap=overlap), 2 * image)


def test_pasted_windows_give_their_middles_alone():
    """A network that numbers its windows: each voxel has one number, and borders between numbers lie in mid-overlap."""
    seen = iter(range(100))
    found = slide(lambda x: torch.full_like(x, next(seen)), torch.zeros(1, 32), (16,), blend="central", overlap=0.5)
    assert found[0].tolist() == [0.0] * 12 + [1.0] * 8 + [2.0] * 12


def test_the_last_window_is_moved_back_and_the_others_are_not():
    seen = iter(range(100))
    found = slide(lambda x: torch.full_like(x, next(seen)), torch.zeros(1, 200), (128,), blend="central", overlap=0.5)
    assert found[0].tolist() == [0.0] * 96 + [1.0] * 8 + [2.0] * 96  # windows from 0, 64 and 72, 32 trimmed inside


@pytest.mark.parametrize("blend", BLENDS)
def test_what_pads_a_small_image_is_as_asked(blend):
    found = slide(lambda x: torch.full_like(x, float(x.mean())), torch.ones(1, 5, 16), (16, 16), blend=blend, fill=0.25)
    torch.testing.assert_close(found, torch.full((1, 5, 16), (5 + 11 * 0.25) / 16))


def test_there_are_three_ways():
    with pytest.raises(SettingError, match="unknown blend centre"):
        slide(lambda x: x, torch.zeros(1, 8), (8,), blend="centre")
