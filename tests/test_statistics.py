from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.statistics import Interval, compare, hierarchical, interval, paired_difference, table


@dataclass(frozen=True)
class Score:
    patient: str
    seed: int | None
    value: float


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = generator(0)
    found = [interval(rng.normal(3, 2, 40), rng, resamples=999) for _ in range(400)]
    covered = sum(i.low < 3 < i.high for i in found)
    assert stats.binomtest(covered, 400, 0.94).pvalue > 0.01  # a bootstrap of 40 covers a little less than 0.95


def test_interval_of_normal_scores_is_close_to_students():
    values = generator(1).normal(0, 1, 200)
    found = interval(values, generator(2))
    low, high = stats.t.interval(0.95, 199, loc=values.mean(), scale=stats.sem(values))
    assert (found.value, found.n) == (values.mean(), 200)
    np.testing.assert_allclose((found.low, found.high), (low, high), atol=0.1 * (high - low))


def test_interval_is_scipys():
    values = generator(1).exponential(1, 30)
    theirs = stats.bootstrap((values,), np.mean, rng=generator(2)).confidence_interval
    found = interval(values, generator(2))
    np.testing.assert_allclose((found.low, found.high), theirs, rtol=0.03)
    assert interval(values, generator(2)) == found


def test_interval_of_skewed_scores_leans_to_their_tail():
    found = interval(generator(1).exponential(1, 30), generator(2))
    assert found.high - found.value > found.value - found.low


def test_swapping_the_two_negates():
    a, b = generator(3).normal(size=(2, 3, 25))
    for over_seeds in (False, True):
        there = paired_difference(a, b, generator(4), over_seeds=over_seeds)
        back = paired_difference(b, a, generator(4), over_seeds=over_seeds)
        np.testing.assert_allclose((back.value, back.low, back.high), (-there.value, -there.high, -there.low))


def test_pairing_removes_what_patients_share():
    rng = generator(5)
    patient, noise = rng.normal(0, 10, 50), rng.normal(0, 0.1, 50)
    assert paired_difference(patient + noise + 0.2, patient, rng).excludes(0)
    assert not paired_difference(patient + noise + 0.2, rng.permutation(patient), rng).excludes(0)


def test_identical_scores_give_zero_to_zero_and_say_so():
    a = generator(6).random(20)
    found = paired_difference(a, a, generator(7))
    assert (found.value, found.low, found.high, found.n) == (0, 0, 0, 20)
    assert "same" in found.note
    assert not found.excludes(0)


def test_equal_scores_are_their_own_interval_despite_rounding():
    values = np.full(9, 0.1) + np.array([0, 1e-17, 0, 0, 0, 0, 0, 0, 1.4e-17])
    found = interval(values, generator(0))
    assert found.low == found.high == found.value == pytest.approx(0.1)


def test_one_patient_has_no_interval():
    found = interval([0.5], generator(0))
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()
    assert not found.excludes(0)


@pytest.mark.parametrize("values", [[], [0.1, np.nan], [[0.1]]])
def test_unusable_scores_are_refused(values):
    with pytest.raises(SettingError, match="scores"):
        interval(values, generator(0))


def test_seeds_are_averaged_within_each_patient():
    a, b = generator(8).random((2, 3, 30))
    mean = paired_difference(a.mean(0), b.mean(0), generator(9))
    assert paired_difference(a, b, generator(9)) == mean
    assert paired_difference(a, b[:1], generator(9)).value == pytest.approx((a.mean(0) - b[0]).mean())


def test_hierarchical_is_wider_by_the_variance_between_seeds():
    rng = generator(10)
    scores = rng.normal(0, 1, (8, 1)) + rng.normal(0, 1, 100)
    found = hierarchical(scores, generator(11))
    seeds, patients = scores.mean(1), scores.mean(0)
    spread = np.sqrt(seeds.var() / 8 + patients.var() / 100)  # of a sum of two independent resamples
    np.testing.assert_allclose((found.high - found.low) / 2, 1.96 * spread, rtol=0.1)
    assert found.high - found.low > 2 * np.ptp([*(lambda i: (i.low, i.high))(interval(patients, generator(11)))])


def test_hierarchical_agrees_with_drawing_one_by_one():
    scores, rng = generator(12).normal(size=(3, 15)), generator(13)
    means = [scores[rng.integers(3, size=3)][:, rng.integers(15, size=15)].mean() for _ in range(4000)]
    found = hierarchical(scores, generator(14))
    np.testing.assert_allclose((found.low, found.high), np.quantile(means, (0.025, 0.975)), atol=0.03)


def test_rows_are_matched_by_patient_whatever_their_order():
    a = [Score(f"p{i}", seed, i + seed) for i in range(12) for seed in (0, 1)]
    b = [Score(f"p{i}", None, i / 2) for i in reversed(range(12))]
    found = compare(a, b, generator(15))
    assert found.value == pytest.approx(np.mean([i + 0.5 - i / 2 for i in range(12)]))
    assert found.n == 12


def test_rows_of_a_cell_are_averaged_and_cohort_rows_left_out():
    rows = [Score("b", 0, 1.0), Score("b", 0, 2.0), Score("a", 0, 5.0), Score("", 0, 99.0)]
    scores, patients = table(rows)
    assert patients == ("a", "b")
    assert scores.tolist() == [[5.0, 1.5]]


def test_different_patients_are_not_paired():
    a = [Score("a", 0, 1.0), Score("b", 0, 1.0)]
    with pytest.raises(SettingError, match="1 patients are in only one"):
        compare(a, a[:1], generator(0))
    with pytest.raises(SettingError, match="do not fill 2 seeds x 2 patients"):
        table([*a, Score("a", 1, 1.0)])


def test_it_reads_as_a_sentence():
    assert str(Interval(0.31, 0.25, 0.36, 60)) == "0.31 [0.25, 0.36], n = 60"
