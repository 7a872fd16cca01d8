"""On the phantom every point is known, in 2-D and 3-D: an embedding that knows the place makes no error, a constant one makes
that of chance, and what lies between is the error computed without any search."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from fakes.coded import Coded, constant, oracle
from vesalius.anatomy import correspondence, landmarks, locality, registration
from vesalius.anatomy.embedders import coordinates
from vesalius.anatomy.motion import CONDITIONS
from vesalius.anatomy.observe import Config, observe
from vesalius.anatomy.rows import nowhere
from vesalius.data.prepare import steps_for
from vesalius.data.steps import Dimensions
from vesalius.features.subjects import load
from vesalius.results import select
from vesalius.space.warp import inverse, move

SPECS = {2: "phantom:?bodies=4&size=96", 3: "phantom:?bodies=3&ndim=3&voxel=12"}
CONFIG = {2: Config(side=0.1, size=4, grid=12, composed=0), 3: Config(side=0.15, size=4, grid=8, composed=0)}


def subjects(ndim, exact=False):
    data = Coded(SPECS[ndim], exact)
    steps = steps_for(2, 96, grey=False) if ndim == 2 else (Dimensions(3),)
    return data, load(data, data.ids, steps, b"key")


@lru_cache
def cohort(ndim, exact=False):
    data, some = subjects(ndim, exact)
    return data, some


def seen(embed, ndim, exact=False, conditions=CONDITIONS):
    config = replace(CONFIG[ndim], conditions=conditions)
    return observe("it", embed, cohort(ndim, exact)[1], config, data="phantom")


def mean(rows, name, **which):
    found = [row.value for row in select(rows, name=name, **which) if row.patient]
    assert found
    return np.mean(found)


def cell(found):
    """Side of a cell, share of the diagonal: what a search cannot do better than by much."""
    view = found.upright[0]
    return view.field.lattice.side.max() / view.subject.diagonal


@pytest.fixture(scope="module", params=[2, 3])
def known(request):
    return seen(oracle, request.param, exact=True)


def test_the_oracle_finds_every_point_of_a_moved_image(known):
    rows = list(correspondence.rows(known, correspondence.Config(), nowhere))
    for condition in ("shift", "rotation", "zoom", "all"):
        assert mean(rows, "error", condition=condition) < 0.6 * cell(known)  # at the rim black may hide the right cell
        assert mean(rows, "within_5", condition=condition) > 0.7
    assert mean(rows, "matched", condition="upright") > 0.95


def test_the_oracle_finds_every_landmark_from_one_annotated_image(known):
    rows = list(landmarks.rows(known, landmarks.Config(draws=2, shots=(1,)), nowhere))
    for condition in known.config.conditions:
        assert mean(rows, "error", condition=condition) < (0.25 if condition == "upright" else 0.4) * cell(known)
    for view in known.upright:
        own = {"condition": "upright", "patient": view.subject.patient}
        assert mean(rows, "error_mm", **own) == pytest.approx(view.subject.spacing[0] * mean(rows, "error_px", **own))


def test_the_oracle_lays_one_patient_over_another(known):
    rows = list(registration.rows(known, registration.Config(trials=200), nowhere))
    for condition in ("upright", "all"):
        assert mean(rows, "tre", condition=condition) < 0.015
        assert mean(rows, "inliers", condition=condition) > 0.7


@pytest.mark.parametrize("ndim", [2, 3])
def test_errors_agree_with_the_truth_where_bodies_differ(ndim):
    """An affine motion does not make two bodies one: the oracle's error is known without a search."""
    data, some = cohort(ndim)
    found = seen(oracle, ndim, conditions=("upright",))
    rows = list(landmarks.rows(found, landmarks.Config(draws=1, shots=(1,)), nowhere))
    for i, id in enumerate(data.ids):
        who = next(k.subject for k in landmarks.annotated(found, i, 1, 0))
        given = data.ids[[s.id for s in some].index(who.id)]
        there = move(inverse(data.matrix(id)), move(data.matrix(given), np.stack(list(data.landmarks(given).values()))))
        own, names = data.landmarks(id), list(data.landmarks(given))
        truth = [np.linalg.norm(place - own[n]) for n, place in zip(names, there, strict=True) if n in own]
        got = mean(rows, "error_px", condition="upright", patient=some[i].patient)
        cell = found.upright[i].field.lattice.side.max()
        assert got == pytest.approx(np.mean(truth), abs=0.3 * cell)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_constant_embedding_makes_the_error_of_chance(ndim):
    found = seen(constant, ndim, conditions=("upright",))
    rows = list(landmarks.rows(found, landmarks.Config(draws=40, shots=(1,)), nowhere))
    chance = []
    for view in found.upright:
        apart = view.field.lattice.middles[:, None] - view.points[None]
        chance.append(np.linalg.norm(apart, axis=2).mean() / view.subject.diagonal)
    assert mean(rows, "error", condition="upright") == pytest.approx(np.mean(chance), rel=0.05)
    assert mean(rows, "found") == 0
    near = list(locality.rows(found, locality.Config(), nowhere))
    assert mean(near, "margin", condition="upright") == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_copying_the_coordinate_makes_the_error_that_the_motion_makes(ndim):
    found = seen(coordinates, ndim, conditions=("upright", "shift"))
    rows = list(correspondence.rows(found, correspondence.Config(), nowhere))
    shift = 0.1 * min(found.upright[0].subject.shape)
    assert mean(rows, "error_px", condition="shift") == pytest.approx(shift, rel=0.1)
    still = list(registration.rows(found, registration.Config(trials=50), nowhere))
    for i, view in enumerate(found.upright):
        own = view.subject
        others = [found.upright[j].subject for j in correspondence.partners(found, i, 2)]
        apart = [
            np.mean(
                [np.linalg.norm(own.landmarks[n] - o.landmarks[n]) for n in own.landmarks.keys() & o.landmarks.keys()]
            )
            for o in others
        ]
        got = mean(still, "tre_px", condition="upright", patient=own.patient)
        assert got == pytest.approx(np.mean(apart), rel=1e-3)
