"""Tables and polygons, as annotations come."""

import numpy as np
import pytest

from vesalius.data.annotations import fill, read_json
from vesalius.data.tables import read_table
from vesalius.errors import DataError


def test_a_row_that_ends_early_is_an_error(tmp_path):
    (tmp_path / "cut.csv").write_text("a,b,c\n1,2,3\n\n4,5\n")
    assert len(read_table(tmp_path / "cut.csv", ("a", "b"))) == 2
    with pytest.raises(DataError, match=r"cut\.csv: row 2 of 2 has 2 cells, and 3 are needed"):
        read_table(tmp_path / "cut.csv", ("a", "c"))


def test_what_is_not_json_is_named(tmp_path):
    (tmp_path / "cut.json").write_text('{"a": [1, 2')
    with pytest.raises(DataError, match=r"cut\.json: is not JSON"):
        read_json(tmp_path / "cut.json")
    with pytest.raises(DataError, match=r"absent\.json: cannot be read"):
        read_json(tmp_path / "absent.json")


def test_a_triangle_is_where_three_half_planes_meet():
    y, x = np.mgrid[:50, :60]
    for corners in np.random.default_rng(0).integers(0, 50, (20, 3, 2)):
        edges = list(zip(corners, np.roll(corners, -1, axis=0), strict=True))
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in edges]
        inside = (np.min(sides, axis=0) > 0) | (np.max(sides, axis=0) < 0)
        drawn = fill([corners.tolist()], (50, 60))
        assert not (inside & ~drawn).any()
        assert (drawn & ~inside).sum() <= sum(abs(p - q).max() + 1 for p, q in edges)  # the edge, one pixel wide


def test_polygons_unite_and_are_clipped():
    square, beyond = ((2, 3), (5, 3), (5, 7), (2, 7)), ((8.9, 8.9), (30, 8.9), (30, 30), (8.9, 30))
    expected = np.zeros((10, 12), bool)
    expected[3:8, 2:6] = expected[8:, 8:] = True
    assert (fill([square, beyond, ()], (10, 12)) == expected).all()
    assert fill([((4, 1),)], (10, 12)).sum() == 1
    with pytest.raises(ValueError, match="not finite"):
        fill([((float("nan"), 1), (2, 2))], (4, 4))
