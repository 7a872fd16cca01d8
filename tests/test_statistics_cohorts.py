"""AUC and AP of whole cohorts: weights, DeLong, the paired bootstrap and exchange over patients."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.statistics.cohorts import Cohort, bootstrap, common, exchange
from vesalius.statistics.curves import value, weighted
from vesalius.statistics.delong import delong

ORACLES = {"auc": roc_auc_score, "ap": average_precision_score}


def drawn(rng, n, gain=(1.0, 1.0), shared=0.7):
    """Labels (n,) and the correlated scores of two models that lift positives by `gain` deviations."""
    label = (np.arange(n) % 3 == 0).astype(float)
    own = rng.normal(size=(2, n))
    scores = np.sqrt(shared) * rng.normal(size=n) + np.sqrt(1 - shared) * own
    return label, *(scores + np.outer(gain, label))


def people(n, images=1):
    return np.array([f"p{i // images:04d}" for i in range(n)])


@pytest.mark.parametrize("statistic", ORACLES)
def test_weighted_curves_are_sklearns_with_ties_and_weights(statistic):
    rng = generator(0)
    label, score = rng.integers(0, 2, 50), rng.integers(0, 8, 50)
    weights = rng.integers(0, 4, (5, 50)).astype(float)
    theirs = [ORACLES[statistic](label, score, sample_weight=w) for w in weights]
    np.testing.assert_allclose(weighted(statistic, label, score)(weights), theirs)
    assert value(statistic, label, score) == pytest.approx(ORACLES[statistic](label, score))


def test_a_weight_of_two_is_an_image_twice():
    label, a, _ = drawn(generator(1), 30)
    twice = np.r_[np.arange(30), 3, 4]
    weights = np.ones((1, 30)) + np.isin(np.arange(30), (3, 4))
    assert weighted("ap", label, a)(weights)[0] == pytest.approx(value("ap", label[twice], a[twice]))


def test_delong_areas_and_covariance_are_those_of_all_pairs():
    label, a, b = drawn(generator(2), 40)
    found = delong(label, np.round(a), np.round(b))
    x, y = (np.round([a, b])[:, label == side] for side in (1, 0))
    won = (x[:, :, None] > y[:, None]) + 0.5 * (x[:, :, None] == y[:, None])  # (2, m, n), DeLong's psi
    covariance = np.cov(won.mean(2)) / x.shape[1] + np.cov(won.mean(1)) / y.shape[1]
    assert found.areas == pytest.approx(won.mean((1, 2)))
    np.testing.assert_allclose(found.covariance, covariance)
    assert found.areas[0] == pytest.approx(roc_auc_score(label, np.round(a)))


def test_delong_variance_is_that_of_the_jackknife():
    label, a, b = drawn(generator(3), 120)
    left_out = 1 - np.eye(120)
    differences = weighted("auc", label, a)(left_out) - weighted("auc", label, b)(left_out)
    jackknife = 119 / 120 * np.sum((differences - differences.mean()) ** 2)
    c = delong(label, a, b).covariance
    assert c[0, 0] + c[1, 1] - 2 * c[0, 1] == pytest.approx(jackknife, rel=0.03)


def test_delong_is_right_by_chance_as_often_as_it_says():
    rng = generator(4)
    wrong = sum(delong(*drawn(rng, 90)).p <= 0.05 for _ in range(250))
    assert stats.binomtest(wrong, 250, 0.05).pvalue > 0.01


def test_delong_of_equal_ranks_is_certain():
    label, a, b = drawn(generator(5), 30)
    same = delong(label, a, np.exp(a))
    assert (same.difference, same.p) == (0, 1)
    there, back = delong(label, a, b), delong(label, b, a)
    assert (there.low, there.p) == pytest.approx((-back.high, back.p))
    with pytest.raises(SettingError, match="two positives"):
        delong([1, 0, 0], [1, 2, 3], [1, 2, 3])


@pytest.mark.parametrize("gain", [(1.0, 1.0), (1.6, 1.0)])
def test_bootstrap_and_exchange_agree_with_delong(gain):
    label, a, b = drawn(generator(6), 240, gain)
    theirs = delong(label, a, b)
    one, other = (Cohort.of(people(240), label, score) for score in (a, b))
    found = bootstrap([one], [other], "auc", generator(7), resamples=3000)
    assert (found.value, found.n) == (pytest.approx(theirs.difference), 240)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.15 * (theirs.high - theirs.low))
    assert exchange([one], [other], "auc", generator(8), resamples=3000) == pytest.approx(theirs.p, abs=0.04)


@pytest.mark.parametrize("statistic", ORACLES)
def test_the_bootstrap_covers_as_often_as_it_says(statistic):
    rng = generator(9)
    truth = np.mean([np.subtract(*(value(statistic, label, s) for s in ab)) for label, *ab in (drawn(rng, 3000, (1.4, 1)) for _ in range(60))])  # fmt: skip  # noqa: E501
    covered = 0
    for _ in range(150):
        label, *scores = drawn(rng, 120, (1.4, 1.0))
        one, other = (Cohort.of(people(120), label, s) for s in scores)
        found = bootstrap([one], [other], statistic, rng, resamples=300)
        covered += found.low < truth < found.high
    assert stats.binomtest(covered, 150, 0.94).pvalue > 0.005


def test_exchange_is_right_by_chance_as_often_as_it_says():
    rng = generator(10)
    wrong = 0
    for _ in range(150):
        label, *scores = drawn(rng, 60)
        one, other = (Cohort.of(people(60, 2), label, s) for s in scores)
        wrong += exchange([one], [other], "auc", rng, resamples=199) <= 0.05
    assert stats.binomtest(wrong, 150, 0.05).pvalue > 0.01


def test_exchange_does_not_see_the_scale_of_scores():
    label, a, b = drawn(generator(11), 60, (1.5, 1.0))
    one, other, scaled = (Cohort.of(people(60), label, s) for s in (a, b, np.exp(b) - 100))
    assert exchange([one], [other], "ap", generator(1), resamples=499) == exchange(
        [one], [scaled], "ap", generator(1), resamples=499
    )


def test_images_of_a_patient_are_drawn_together():
    label, a, b = drawn(generator(12), 60, (1.5, 1.0))
    copies = [np.repeat(x, 8) for x in (label, a, b)]
    whole, apart = (
        bootstrap(
            [Cohort.of(who, copies[0], copies[1])],
            [Cohort.of(who, copies[0], copies[2])],
            "auc",
            generator(1),
            resamples=1500,
        )
        for who in (people(480, 8), people(480))
    )
    plain = bootstrap(*([Cohort.of(people(60), label, s)] for s in (a, b)), "auc", generator(1), resamples=1500)
    assert (whole.low, whole.high, whole.n) == pytest.approx((plain.low, plain.high, 60))
    assert apart.high - apart.low < 0.5 * (whole.high - whole.low)


def test_order_of_images_and_unshared_patients_do_not_matter():
    label, a, b = drawn(generator(13), 40)
    who, order = people(40), generator(0).permutation(40)
    one = Cohort.of(np.append(who, "other"), np.append(label, 1), np.append(a, 9.0))
    other = Cohort.of(who[order], label[order], b[order])
    found = bootstrap([one], [other], "auc", generator(1), resamples=99)
    assert found.value == pytest.approx(roc_auc_score(label, a) - roc_auc_score(label, b))
    assert found.n == 40


def test_swapping_the_two_negates():
    label, a, b = drawn(generator(14), 50)
    one, other = (Cohort.of(people(50), label, s) for s in (a, b))
    there, back = (bootstrap(x, y, "ap", generator(1), resamples=999) for x, y in (([one], [other]), ([other], [one])))
    assert (there.value, there.low) == pytest.approx((-back.value, -back.high))
    p, q = (exchange(x, y, "ap", generator(2), resamples=999) for x, y in (([one], [other]), ([other], [one])))
    assert p == q < 1


def test_repetitions_are_drawn_too():
    rng = generator(15)
    made = [drawn(rng, 60, (gain, 1.0)) for gain in (0.2, 1.0, 3.0)]
    label, b = made[0][0], made[0][2]
    of_a, of_b = ([Cohort.of(people(60), label, s) for s in some] for some in ([m[1] for m in made], [b] * 3))
    several = bootstrap(of_a, of_b, "auc", generator(1))
    assert several.value == pytest.approx(np.mean([c.value("auc") for c in of_a]) - of_b[0].value("auc"))
    alone = bootstrap(of_a, of_b[:1], "auc", generator(1))
    assert alone.value == pytest.approx(several.value)
    assert several.high - several.low > 1.3 * (alone.high - alone.low)
    with pytest.raises(SettingError, match="3 and 1 repetitions"):
        exchange(of_a, of_b[:1], "auc", generator(1))


def test_classes_and_folds_are_averaged_and_unknown_labels_left_out():
    label, a, b = drawn(generator(16), 40)
    unknown = np.where(np.arange(40) < 10, np.nan, label)
    macro = Cohort.of(people(40), np.stack([label, unknown], 1), np.stack([a, b], 1))
    parts = roc_auc_score(label, a), roc_auc_score(label[10:], b[10:])
    assert macro.value("auc") == pytest.approx(np.mean(parts))
    folds = Cohort.of(people(20), label[:20], a[:20]).beside(Cohort.of(people(40)[20:], label[20:], b[20:]))
    assert folds.value("auc") == pytest.approx(np.mean([roc_auc_score(label[:20], a[:20]), roc_auc_score(label[20:], b[20:])]))  # fmt: skip  # noqa: E501


def test_few_positives_are_told():
    label = np.r_[1, np.zeros(29)]
    one, other = (Cohort.of(people(30), label, s) for s in generator(17).normal(size=(2, 30)))
    assert "37%" in (note := bootstrap([one], [other], "auc", generator(1)).note) or "36%" in note


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((["a", "b"], [1, 0, 1], [1, 2, 3]), "shapes"),
        ((["a", "b"], [1, 1], [1, 2]), "no class has both"),
        ((["a", "b"], [1, 2], [1, 2]), "labels are not 0 and 1"),
        ((["a", "b"], [1, 0], [1, np.nan]), "scores are not finite"),
    ],
)
def test_unusable_cohorts_are_refused(arrays, message):
    with pytest.raises(SettingError, match=message):
        Cohort.of(*arrays).value("auc")


def test_other_labels_or_other_patients_cannot_be_paired():
    one, changed, strange = (Cohort.of(who, label, [1, 2]) for who, label in (("ab", 0), ("ab", 1), ("cd", 0)) for who, label in [(list(who), [label, 1])])  # fmt: skip  # noqa: E501
    with pytest.raises(SettingError, match="other images or labels"):
        common([one, changed])
    with pytest.raises(SettingError, match="no common patient"):
        common([one, strange])
