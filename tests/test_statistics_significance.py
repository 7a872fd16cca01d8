"""Tests, corrections and effect sizes against slow versions, closed forms and scipy."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.statistics.ranks import critical, ranks
from vesalius.statistics.significance import cohens_d, holm, permutation, superiority, t_interval, t_test, wilcoxon


def test_permutation_of_few_patients_counts_all_sign_changes():
    d = generator(0).normal(0.5, 1, 9)
    means = np.array([np.mean(d * signs) for signs in product((-1, 1), repeat=9)])
    assert permutation(d, generator(1)) == pytest.approx(np.mean(np.abs(means) >= abs(d.mean()) - 1e-12))


def test_permutation_of_many_patients_is_near_the_t_test_and_never_zero():
    d = generator(2).normal(0.15, 1, 200)
    assert permutation(d, generator(3)) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert permutation(d + 5, generator(3), resamples=999) == pytest.approx(2 / 1000)


def test_permutation_is_right_by_chance_as_often_as_it_says():
    rng = generator(4)
    wrong = sum(permutation(rng.exponential(1, 8) - rng.exponential(1, 8), rng) <= 0.05 for _ in range(300))
    assert stats.binomtest(wrong, 300, 0.05).pvalue > 0.01


def test_without_any_difference_nothing_is_shown():
    assert permutation(np.zeros(20), generator(0)) == wilcoxon(np.zeros(20)) == 1
    assert superiority(np.zeros(20)) == 0.5
    assert np.isnan(cohens_d(np.zeros(20)))


def test_wilcoxon_of_five_on_one_side_is_two_in_thirty_two():
    assert wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)
    assert wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5, 0.0, 0.0]) == pytest.approx(2 / 32)


def test_t_test_is_students_in_closed_form():
    a, b = generator(5).normal(size=(2, 10))
    t = (a.mean() - b.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 10)
    assert t_test(a, b) == pytest.approx(2 * stats.t.sf(abs(t), 18))
    assert t_test(a, b[:4], equal_variances=False) == stats.ttest_ind(a, b[:4], equal_var=False).pvalue


def test_interval_over_runs_is_scipys():
    a, b = generator(8).normal(size=10), generator(9).normal(size=6)
    theirs = stats.ttest_ind(a, b).confidence_interval()
    found = t_interval(a, b)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert np.isnan(t_interval(a, b[:1]).low)
    assert 0 < t_test(a, [0.5, 0.5]) < 1


@pytest.mark.parametrize(("a", "b"), [([0.5], [0.4, 0.6]), ([0.5, 0.5], [0.4, 0.4])])
def test_t_test_of_one_run_or_without_spread_has_no_p(a, b):
    assert np.isnan(t_test(a, b))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    np.testing.assert_array_equal(holm([0.01, np.nan, 0.02]), [0.02, np.nan, 0.02])
    assert holm([]).size == 0


def test_holm_rejects_what_stepping_down_rejects():
    p = generator(6).beta(0.3, 3, 12)
    rejected, order = set(), np.argsort(p)
    for step, i in enumerate(order):
        if p[i] > 0.05 / (12 - step):
            break
        rejected.add(i)
    assert rejected == set(np.flatnonzero(holm(p) <= 0.05))


def test_effect_sizes_in_closed_form():
    d = [1.0, 2.0, 3.0, -2.0, 0.0]
    assert superiority(d) == pytest.approx(3.5 / 5)
    assert cohens_d(d) == pytest.approx(stats.ttest_1samp(d, 0).statistic / np.sqrt(5))
    assert cohens_d(np.negative(d)) == -cohens_d(d)


@pytest.mark.parametrize("values", [[], [np.nan, 1], [[1.0]]])
def test_unusable_numbers_are_refused(values):
    with pytest.raises(SettingError, match="numbers of shape"):
        wilcoxon(values)


def test_critical_differences_are_demsars():
    # His table 5 (q of the two-tailed Nemenyi test) and his example: 4 classifiers, 14 data sets, CD at 0.05 and 0.10.
    q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    assert [critical(k, k * (k + 1) / 6) for k in range(2, 11)] == pytest.approx(q, abs=1.5e-3)
    assert critical(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert critical(4, 14, 0.10) == pytest.approx(1.12, abs=5e-3)


def test_ranks_and_friedman_by_hand_and_by_scipy():
    scores = generator(7).normal(size=(20, 4)) + [0.0, 0.2, 2.0, 2.1]
    found = ranks(("a", "b", "c", "d"), scores)
    by_hand = [np.mean([1 + np.sum(row > row[i]) for row in scores]) for i in range(4)]
    assert found.means == pytest.approx(by_hand)
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert ranks(("a", "b", "c", "d"), -scores, lower_is_better=True) == found
    assert {frozenset(group) for group in found.cliques()} == {frozenset("ab"), frozenset("cd")}


def test_ties_share_a_rank_and_are_one_group():
    found = ranks(("a", "b", "c"), np.ones((5, 3)))
    assert (found.means, found.p, found.cliques()) == ((2, 2, 2), 1.0, [("a", "b", "c")])


def test_groups_may_overlap_but_none_lies_in_another():
    far = np.tile([5.0, 4.0, 3.0, 2.0, 1.0], (20, 1))  # ranks 1..5, critical difference 1.36
    names = tuple("abcde")
    assert ranks(names, far).cliques() == [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]


def test_two_models_have_no_ranks():
    with pytest.raises(SettingError, match="3 models"):
        ranks(("a", "b"), np.ones((5, 2)))
