"""Who is labelled: nested shots and shares of patients, folds in which everyone is tested once."""

import hashlib
from dataclasses import replace

import pytest

from fakes.subjects import of_patients
from vesalius.errors import SettingError
from vesalius.evaluate.repeats import Plan, cohorts, repeats

POOL = of_patients([f"p{i // 2}" for i in range(20)])  # ten patients, two images each


def test_shots_are_one_image_of_each_patient_and_nested_within_a_draw():
    found = {(one.shots, one.draw): one for one in repeats(POOL, Plan(shots=(2, 5), draws=3))}
    assert set(found) == {(n, draw) for n in (2, 5) for draw in range(3)}
    for (n, draw), one in found.items():
        assert len(one.own) == len({POOL[i].patient for i in one.own}) == n
        assert set(found[2, draw].own) <= set(found[5, draw].own)
    assert len({one.own for one in found.values() if one.shots == 5}) > 1
    assert len({one.seed for one in found.values()}) == 3


def test_shares_are_of_patients_with_all_their_images():
    for one in repeats(POOL, Plan(shares=(0.3, 1.0), draws=2)):
        assert len(one.own) == 2 * one.shots
        assert len({POOL[i].patient for i in one.own}) == one.shots in (3, 10)


def test_where_nothing_is_left_to_chance_all_patients_are_trained_on_once():
    plan = Plan(shares=(0.3, 1.0), draws=4)
    assert [one.shots for one in repeats(POOL, plan, chance=False)].count(10) == 1
    assert [one.shots for one in repeats(POOL, plan)].count(10) == 4


def test_all_patients_of_a_fold_have_no_number_for_it_differs_from_fold_to_fold():
    found = [one.shots for one in repeats(POOL, Plan(shares=(0.3, 1.0), draws=1), fold=True)]
    assert found == [3, None]


def test_folds_test_every_patient_once_and_never_train_on_him():
    tested = []
    for _, train, held in cohorts(POOL, [], Plan(folds=3)):
        assert not {one.patient for one in train} & {one.patient for one in held}
        assert len(train) + len(held) == 20
        tested += [one.id for one in held]
    assert sorted(tested) == sorted(one.id for one in POOL)


@pytest.mark.parametrize(
    "wrong", [{"shots": (3,), "shares": (0.1,)}, {"shares": (1.5,)}, {"draws": 0}, {"folds": 1}, {"folds": -2}]
)
def test_plans_that_make_no_sense_are_refused(wrong):
    with pytest.raises(SettingError):
        Plan(**wrong)


def test_more_shots_than_patients_is_said():
    with pytest.raises(SettingError, match="11 shots of 10 patients"):
        list(repeats(POOL, Plan(shots=(3, 11))))


def test_draws_and_folds_do_not_depend_on_how_images_and_patients_are_hashed():
    def hashed(text: str, salt: int) -> str:
        return hashlib.blake2b(text.encode(), salt=bytes([salt])).hexdigest()

    plan, drawn, places = Plan(shots=(2, 5), draws=3), [], []
    for salt in range(3):
        pool = [replace(one, id=hashed(one.id, salt), patient=hashed(one.patient, salt)) for one in POOL]
        at = {one.id: i for i, one in enumerate(pool)}
        drawn.append([one.own for one in repeats(pool, plan)])
        places.append(
            [[[at[one.id] for one in part] for part in parts] for _, *parts in cohorts(pool, [], Plan(folds=3))]
        )
    assert drawn[0] == drawn[1] == drawn[2]
    assert places[0] == places[1] == places[2]
