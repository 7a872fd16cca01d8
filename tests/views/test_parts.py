"""Adam's decomposer against the closed forms of its recursion."""

from collections import Counter

import numpy as np
import pytest

from vesalius.errors import DataError, SettingError
from vesalius.space.box import Box
from vesalius.views.parts import check_granularity, left_right, part, parts

RADIOGRAPH = Box.whole((1023, 1400))


@pytest.mark.parametrize(
    ("n", "shapes"),
    [
        (0, {(1023, 1400)}),
        (1, {(1023, 700)}),
        (2, {(511, 700), (512, 700)}),
        (3, {(511, 350), (512, 350)}),
        (4, {(255, 350), (256, 350)}),
    ],
)
def test_sizes_of_a_radiograph(n: int, shapes: set[tuple[int, int]]) -> None:
    cut = parts(RADIOGRAPH, n)
    assert {box.shape for box in cut} == shapes
    assert len(cut) == 2**n


@pytest.mark.parametrize("shape", [(1023, 1400), (37, 29), (17, 23, 31), (64, 64, 64)])
@pytest.mark.parametrize("n", range(6))
def test_parts_tile_the_image(shape: tuple[int, ...], n: int) -> None:
    covered = np.zeros(shape, np.int8)
    for box in parts(Box.whole(shape), n):
        covered[box.slices] += 1
    assert (covered == 1).all()


def test_rows_and_columns_of_the_grid() -> None:
    for n in range(8):
        starts = [box.start for box in parts(Box.whole((512, 512)), n)]
        assert len({row for row, _ in starts}) == 2 ** (n // 2)
        assert len({column for _, column in starts}) == 2 ** ((n + 1) // 2)


@pytest.mark.parametrize("n", range(5))
def test_transposed_image_with_the_first_cut_swapped_gives_transposed_parts(n: int) -> None:
    upright = parts(RADIOGRAPH, n)
    lying = parts(Box.whole((1400, 1023)), n, axes=(0, 1))
    assert lying == [Box(box.start[::-1], box.stop[::-1]) for box in upright]


def test_first_cut_separates_left_from_right() -> None:
    for shape in ((8, 8), (8, 8, 8)):
        one, other = parts(Box.whole(shape), 1)
        differ = [axis for axis in range(len(shape)) if one.start[axis] != other.start[axis]]
        assert differ == [left_right(len(shape))]


def test_a_frontal_projection_of_a_volume_is_cut_as_in_2d() -> None:
    """The first two cuts take x and z, which are the columns and rows of a projection along y."""
    volume = {(box.start[2], box.start[0], *box.shape[::2]) for box in parts(Box.whole((8, 6, 12)), 2)}
    image = {(*box.start, *box.shape[::-1]) for box in parts(Box.whole((12, 8)), 2)}
    assert volume == image


def test_part_is_one_of_parts_and_inside_a_box_away_from_zero() -> None:
    box = Box((3, 5, 7), (20, 33, 41))
    assert [part(box, 4, index) for index in range(16)] == parts(box, 4)
    assert all(box.contains(piece) for piece in parts(box, 4))
    assert Counter(piece.size > 0 for piece in parts(box, 4)) == {True: 16}


def test_refusals_name_the_reason() -> None:
    with pytest.raises(DataError, match="leaves 0 voxels along axis 0"):
        parts(Box.whole((3, 64)), 4)
    with pytest.raises(DataError, match="cannot be halved 4 times"):
        part(Box.whole((3, 64)), 4, 0)
    with pytest.raises(SettingError, match="below 0"):
        parts(RADIOGRAPH, -1)


def test_what_to_lower_has_a_name() -> None:
    with pytest.raises(DataError, match=r"Lower method\.levels, or use images of at least 32 voxels along"):
        check_granularity((31, 64), 4, 8, setting="method.levels")


def test_granularity_check_agrees_with_the_parts_themselves() -> None:
    for shape in ((63, 130), (40, 33, 70)):
        for n in range(6):
            least = min(min(box.shape) for box in parts(Box.whole(shape), n))
            check_granularity(shape, n, least)
            with pytest.raises(DataError, match=f"2\\*\\*{n} parts"):
                check_granularity(shape, n, least + 1)
