"""Predictions become rows: of structures that were contoured, of classes that were labelled, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fakes.subjects import of_patients
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.evaluate.linear import Regression
from vesalius.evaluate.metrics import dice
from vesalius.evaluate.outcome import Outcome
from vesalius.evaluate.tasks import Classes, Masks, picture, task_of
from vesalius.results import Row

ABOUT = Row(measure="fewshot", name="", value=0.0, run="a", shots=3, draw=0)


def kept(into: dict):
    def save(label, arrays):
        into[label] = dict(arrays)
        return f"artefacts/{label}.npz"

    return save


def masked(side=40, structures=("a", "b")):
    rng = generator(0)
    truth = rng.random((2, side, side)) > 0.5
    (one,) = of_patients(["p"], side)
    return replace(one, structures=structures, packed=np.packbits(truth[: len(structures)], axis=0)), truth


def test_a_row_of_every_metric_of_every_contoured_structure():
    one, truth = masked(structures=("b",))
    found = generator(1).random((3, 40, 40)).astype(np.float32)
    rows = list(Masks(("a", "b", "c")).rows(Outcome([found], 7), [one], ABOUT, kept({})))
    assert {(row.name, row.structure) for row in rows} == {("dice", "b"), ("iou", "b")}
    assert rows[0].value == dice(found[1] > 0.5, truth[0])
    assert {(row.patient, row.parameters, row.shots, row.space) for row in rows} == {("p", 7, 3, "standard")}


def test_only_the_largest_part_counts_where_that_is_asked_for():
    one, _ = masked()
    truth = np.zeros((2, 40, 40), bool)
    truth[:, :20] = True
    one, found = replace(one, packed=np.packbits(truth, axis=0)), truth.astype(np.float32)
    found[0, 30:32] = 1  # not there, and smaller
    for largest, best in ((False, [dice(found[0] > 0.5, truth[0]), 1.0]), (True, [1.0, 1.0])):
        rows = list(
            Masks(("a", "b"), metrics=("dice",), largest=largest).rows(Outcome([found], 1), [one], ABOUT, kept({}))
        )
        assert [row.value for row in rows] == best


def test_distances_are_in_millimetres_where_a_pixel_has_a_size():
    one, truth = masked()
    found = np.roll(truth, 1, 1).astype(np.float32)
    task = Masks(("a", "b"), metrics=("hd95",))
    for spacing, unit in ((None, "px"), ((0.5, 0.5), "mm")):
        rows = list(task.rows(Outcome([found], 1), [replace(one, spacing=spacing)], ABOUT, kept({})))
        assert {row.unit for row in rows} == {unit}


def test_pictures_of_the_first_draw_say_how_good_they_are():
    (one, truth), pictures = masked(), {}
    for draw in (0, 1):
        rows = list(
            Masks(("a", "b"), cases=True).rows(
                Outcome([truth.astype(np.float32)], 1), [one], replace(ABOUT, draw=draw), kept(pictures)
            )
        )
        assert [row.value for row in rows if row.name == "case"] == [1.0][: 1 - draw]
    (arrays,) = pictures.values()
    np.testing.assert_array_equal(arrays["found"], truth)
    assert arrays["structures"].tolist() == ["a", "b"]


def test_a_volume_is_shown_where_most_of_the_truth_is():
    (one,) = of_patients(["p"])
    volume = replace(one, pixels=np.zeros((1, 6, 8, 5), np.uint8))
    volume.pixels[..., 3] = 255
    truth = np.zeros((1, 6, 8, 5), bool)
    truth[..., 3] = True
    shown = picture(volume, truth, truth, ["a"])
    assert shown["image"].shape == (8, 6)  # y downwards, x to the right
    assert shown["image"].min() == 255
    assert shown["truth"].all()


def test_auc_and_precision_of_those_who_are_labelled():
    rng, artefacts = generator(2), {}
    some = of_patients([f"p{i}" for i in range(30)])
    truth = np.where(np.arange(30) % 5 == 0, np.nan, rng.integers(2, size=30))
    subjects = [replace(one, classes={"sick": float(value)}) for one, value in zip(some, truth, strict=True)]
    scores = rng.normal(size=(30, 1)).astype(np.float32)
    rows = list(Classes(("sick",)).rows(Outcome(list(scores), 1), subjects, ABOUT, kept(artefacts)))
    seen = np.isfinite(truth)
    assert {row.name: row.value for row in rows} == {
        "auc": pytest.approx(roc_auc_score(truth[seen], scores[seen, 0])),
        "ap": pytest.approx(average_precision_score(truth[seen], scores[seen, 0])),
    }
    (arrays,) = artefacts.values()
    assert arrays["patient"].tolist() == [one.patient for one, own in zip(some, seen, strict=True) if own]


def test_a_class_that_could_not_be_learned_gives_no_row_and_one_that_cannot_be_tested_an_error(capsys):
    subjects = [replace(one, classes={"sick": float(i % 2)}) for i, one in enumerate(of_patients(["p", "q"]))]
    nothing = [np.full(1, np.nan, np.float32)] * 2
    assert list(Classes(("sick",)).rows(Outcome(nothing, 1), subjects, ABOUT, kept({}))) == []
    assert "'sick' has one value among the 3 labelled" in capsys.readouterr().err
    with pytest.raises(DataError, match="class 'sick' has one value among those to test on"):
        list(Classes(("sick",)).rows(Outcome(nothing[:1], 1), subjects[:1], ABOUT, kept({})))


def test_every_class_of_one_value_is_named_and_those_that_are_left():
    known = {"ill": (0, 1), "sick": (0, 0.7), "well": (1, np.nan), "two words": (1, 0)}
    subjects = [
        replace(one, classes={name: v[i] for name, v in known.items()}) for i, one in enumerate(of_patients("pq"))
    ]
    with pytest.raises(DataError, match=r"'sick' has one .*, and so have 'well'") as said:
        Classes(tuple(known)).check(subjects, "data")
    assert said.value.remedy == "Give --classes ill 'two words', or, with --folds, fewer of them."


def test_uncertain_labels_are_not_measured_and_no_regression_learns_them():
    values = (0, 1, 0.6, 1)
    subjects = [replace(one, classes={"sick": value}) for one, value in zip(of_patients("abcd"), values, strict=True)]
    outcome = Outcome(list(np.array([[0.1], [0.8], [0.9], [0.3]], np.float32)), 1)
    artefacts = {}
    auc, ap = Classes(("sick",)).rows(outcome, subjects, ABOUT, kept(artefacts))
    assert (auc.value, ap.value) == (1, 1)
    (arrays,) = artefacts.values()
    assert len(arrays["score"]) == 3
    with pytest.raises(SettingError, match="sick has labels between 0 and 1"):
        Regression(None, subjects, subjects, ("sick",), None)


def test_masks_come_first_and_classes_where_they_are_asked_for():
    one, _ = masked()
    both = [replace(one, classes={"sick": 1.0})]
    assert task_of(both, (), (), "data") == Masks(("a", "b"))
    assert task_of(both, (), ("sick",), "data") == Classes(("sick",))
    with pytest.raises(DataError, match="data: has neither masks nor classes"):
        task_of(of_patients(["p"]), (), (), "data")
