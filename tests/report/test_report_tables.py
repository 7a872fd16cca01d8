"""Cells say what the rows say: means over patients, paired over those that both runs have, bold only where sure."""

import math

import numpy as np
import pytest

from vesalius import statistics
from vesalius.chance import generator
from vesalius.report import tables
from vesalius.report.tables import Cell, Quantity, Scores
from vesalius.results import Row

WHAT = Quantity("locality", "knn_accuracy", "all")
ERROR = Quantity("registration", "tre")


def rows(run, values, what=WHAT, first=0, **more):
    about = {"measure": what.measure, "name": what.name, "condition": what.condition, "structure": what.structure}
    return [Row(run=run, patient=f"p{first + i}", value=float(v), **about, **more) for i, v in enumerate(values)]


EASY = np.linspace(0.2, 0.8, 10)


def test_an_interval_is_that_of_the_patients_means():
    twice = rows("adam", EASY - 0.1, seed=0) + rows("adam", EASY + 0.1, seed=1)
    assert Scores(twice).interval("adam", WHAT) == statistics.interval(EASY, generator(0))
    assert Scores(twice).interval("moco", WHAT) is None


def test_a_constant_gain_is_known_exactly_and_over_common_patients_alone():
    scores = Scores(rows("adam", EASY + 0.25) + rows("random", EASY[3:], first=3))
    found = scores.difference("adam", "random", WHAT)
    assert (found.n, found.low, found.high) == (7, pytest.approx(0.25), pytest.approx(0.25))
    assert scores.difference("random", "adam", WHAT).value == pytest.approx(-0.25)


def test_strangers_cannot_be_compared():
    scores = Scores(rows("adam", EASY) + rows("moco", EASY, first=100))
    assert scores.difference("adam", "moco", WHAT) is None
    assert tables.best(scores, WHAT) == ""


@pytest.mark.parametrize(("what", "winner"), [(WHAT, "high"), (ERROR, "low")])
def test_best_is_the_highest_share_and_the_lowest_error(what, winner):
    scores = Scores(rows("low", EASY - 0.1, what) + rows("high", EASY, what))
    assert tables.best(scores, what) == winner
    assert [line.cells[0].best for line in tables.headline(scores, [what])] == [winner == run for run in scores.runs]


def test_a_lead_that_could_be_chance_is_not_bold():
    noise = np.where(np.arange(10) % 2, 0.3, -0.28)
    scores = Scores(rows("a", EASY) + rows("b", EASY + noise))
    assert tables.best(scores, WHAT) == ""


def test_undefined_scores_and_artefacts_are_no_scores():
    some = [*rows("a", [0.5, math.nan]), Row(run="a", measure="locality", name="vectors", value=9, artefact="v.npz")]
    assert Scores(some).of("a", WHAT) == {"p0": 0.5}
    assert Scores(some).quantities("locality", cohort=True) == []


def test_cells_read_well():
    scores = Scores(rows("adam", EASY) + rows("moco", EASY[:4]))
    (line,) = tables.values(scores, [WHAT])
    assert (line.label, line.patients) == ("knn_accuracy, all", "4–10")
    assert str(line.cells[0]).startswith("0.500 [")
    assert [str(Cell(x)) for x in (None, 0.25, -123.456)] == ["–", "0.250", "−123.5"]
