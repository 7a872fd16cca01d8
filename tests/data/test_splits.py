import numpy as np
import pytest

from vesalius.data.splits import exclude, few_shot, folds, holdout, overlaps
from vesalius.errors import DataError, SettingError

IDS = tuple(f"{patient:03}_{image}" for patient in range(40) for image in range(1 + patient % 3))


def patient_of(id: str) -> str:
    return id.partition("_")[0]


def people(ids):
    return {patient_of(id) for id in ids}


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.99])
def test_holdout_parts_patients_and_loses_no_image(fraction):
    kept, held = holdout(IDS, patient_of, fraction, seed=3)
    assert not people(kept) & people(held)
    assert sorted(kept + held) == sorted(IDS)
    assert len(people(held)) == min(max(round(fraction * 40), 1), 39)


def test_holdout_depends_on_seed_and_not_on_the_order_of_files():
    _, held = holdout(IDS, patient_of, 0.3, seed=3)
    assert set(holdout(IDS[::-1], patient_of, 0.3, seed=3)[1]) == set(held)
    assert set(holdout(IDS, patient_of, 0.3, seed=4)[1]) != set(held)


def test_a_cohort_that_grows_keeps_nearly_everyone_where_they_were():
    grown = IDS + tuple(f"{patient:03}_0" for patient in range(40, 44))
    before, after = (people(holdout(ids, patient_of, 0.3, seed=0)[1]) for ids in (IDS, grown))
    assert len(before - after) <= 3


def test_every_patient_is_held_out_in_one_fold():
    parts = folds(IDS, patient_of, 7, seed=0)
    held = [people(out) for _, out in parts]
    assert set.union(*held) == people(IDS)
    assert sum(map(len, held)) == 40
    assert {len(part) for part in held} <= {5, 6}
    assert all(not people(train) & people(out) for train, out in parts)


def test_few_shot_draws_are_nested_and_take_one_image_a_patient():
    draws = few_shot(IDS, patient_of, (3, 6, 12), draw=0, seed=0)
    assert [len(people(draws[n])) for n in (3, 6, 12)] == [len(draws[n]) for n in (3, 6, 12)] == [3, 6, 12]
    assert set(draws[3]) < set(draws[6]) < set(draws[12])
    assert draws != few_shot(IDS, patient_of, (3, 6, 12), draw=1, seed=0)


def test_draws_are_uniform_over_patients():
    counts = np.zeros(40)
    for draw in range(400):
        for id in few_shot(IDS, patient_of, (10,), draw=draw, seed=0)[10]:
            counts[int(patient_of(id))] += 1
    assert ((counts - 100) ** 2 / 75).sum() * 39 / 40 < 72  # chi-square with 39 degrees of freedom: 99.9 %


def test_exclude_drops_every_image_of_the_listed(tmp_path):
    listed = tmp_path / "test.txt"
    listed.write_text("# held out\n002\n\n005\n777\n")
    assert people(exclude(IDS, patient_of, listed)) == people(IDS) - {"002", "005"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("2\n", "no patient"), ("002\n5\n", "leading zeros"), ("002\n0\n", "leading zeros"), ("", "no patient")],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, text, reason):
    (tmp_path / "test.txt").write_text(text)
    with pytest.raises(DataError, match=rf"test\.txt.*{reason}"):
        exclude(IDS, patient_of, tmp_path / "test.txt")


def test_overlaps_names_pairs_that_share_patients():
    shared = overlaps({"train": IDS[:5], "test": IDS[4:8], "other": IDS[-1:]}, patient_of)
    assert set(shared) == {("train", "test")}
    assert people(shared["train", "test"]) == people(IDS[:5]) & people(IDS[4:8])
    assert overlaps(dict(zip("ab", holdout(IDS, patient_of, 0.5, 0), strict=True)), patient_of) == {}


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_impossible_settings_are_refused(fraction):
    with pytest.raises(SettingError):
        holdout(IDS, patient_of, fraction, seed=0)
    with pytest.raises(DataError, match="1 patients, but 2"):
        holdout(IDS[:1], patient_of, 0.5, seed=0)
    with pytest.raises(SettingError):
        folds(IDS, patient_of, 1, seed=0)
    with pytest.raises(DataError, match="40 patients, but 41"):
        few_shot(IDS, patient_of, (41,), draw=0, seed=0)
