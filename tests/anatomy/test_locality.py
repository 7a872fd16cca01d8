import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from vesalius.anatomy import locality
from vesalius.anatomy.locality import Config, Patches
from vesalius.chance import generator

NAMES = ("apex", "hilum", "base")


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clouds(n=30, d=16, spread=1.5, seed=3):
    """3 n patches of ten patients around three centres."""
    rng = generator(seed)
    labels, patients = np.tile(NAMES, n), np.repeat([f"p{i % 10}" for i in range(n)], 3)
    centres = generator(3).normal(size=(3, d))
    return Patches(unit(np.tile(centres, (n, 1)) + spread * rng.normal(size=(3 * n, d))), labels, patients)


def of_patients(right, can, patches):
    return {str(p): right[can & (patches.patients == p)].mean() for p in np.unique(patches.patients[can])}


@pytest.mark.parametrize("k", [1, 3, 7])
def test_accuracy_is_scikit_learns_leaving_one_patient_out(k):
    queries, gallery = clouds(spread=2.5, seed=4), clouds(spread=2.5)
    right, can = locality.correct(queries, gallery, k)
    assert can.all()
    for patient in np.unique(queries.patients):
        mine, others = queries.patients == patient, gallery.patients != patient
        peer = KNeighborsClassifier(k, metric="cosine", weights=lambda d: 1 + (1 - d) / (4 * k))
        peer.fit(gallery.vectors[others], gallery.labels[others])
        assert right[mine].mean() == peer.score(queries.vectors[mine], queries.labels[mine])
    assert 0.5 < right.mean() < 0.95


def test_neighbours_of_the_same_patient_do_not_count():
    vectors = unit(np.array([[1, 0], [1, 0], [0, 1], [1, 0.5]]))
    some = Patches(vectors, np.array(["a", "a", "a", "b"]), np.array(["p", "p", "q", "q"]))
    assert of_patients(*locality.correct(some, some, 1), some) == {"p": 0.0, "q": 1.0}


def test_a_landmark_that_no_other_patient_has_is_no_query():
    some = clouds(6)
    labels = np.where((some.patients == "p0") & (some.labels == "apex"), "only p0 has it", some.labels)
    own = Patches(some.vectors, labels, some.patients)
    right, can = locality.correct(own, own)
    assert (labels[~can] == "only p0 has it").all()
    assert not right[~can].any()
    assert can.sum() == 17


def test_a_tie_goes_to_the_nearer():
    vectors = unit(np.array([[1, 0], [1, 0.1], [1, 0.3]]))
    some = Patches(vectors, np.array(["b", "b", "a"]), np.array(["p", "q", "r"]))
    assert locality.correct(some, some, 2)[0][0]
    other = Patches(vectors[[0, 2, 1]], some.labels, some.patients)
    assert not locality.correct(other, other, 2)[0][0]


def test_rotating_all_vectors_changes_nothing():
    some = clouds()
    turned = some.vectors @ np.linalg.qr(generator(4).normal(size=(16, 16)))[0].astype(np.float32)
    same = Patches(turned, some.labels, some.patients)
    np.testing.assert_array_equal(locality.correct(same, same)[0], locality.correct(some, some)[0])
    np.testing.assert_allclose(locality.margins(same, same), locality.margins(some, some), atol=1e-5)


def test_a_constant_embedding_is_at_chance():
    some = clouds(200)
    flat = Patches(np.ones((600, 1), np.float32), some.labels, some.patients)
    assert locality.correct(flat, flat)[0].mean() == pytest.approx(1 / 3)
    np.testing.assert_allclose(locality.margins(flat, flat), 0, atol=1e-6)


def test_margin_is_own_mean_cosine_less_the_best_other_landmarks():
    queries, gallery = clouds(10, seed=5), clouds(20)
    found = locality.margins(queries, gallery)
    for i in (0, 7, 29):
        others = gallery.patients != queries.patients[i]
        means = {n: (gallery.vectors[others & (gallery.labels == n)] @ queries.vectors[i]).mean() for n in NAMES}
        own = means.pop(str(queries.labels[i]))
        assert found[i] == pytest.approx(own - max(means.values()), abs=1e-5)


def test_a_gallery_of_all_others_is_the_full_gallery():
    some = clouds(20, spread=2)
    small = locality.small_gallery(some, some, 9, Config(k=5, draws=3), 0)
    assert small == pytest.approx(of_patients(*locality.correct(some, some, 5), some))


def test_a_larger_gallery_names_more_and_too_large_a_one_is_left_out():
    some = clouds(30, spread=2.5)
    scores = {n: np.mean(list(locality.small_gallery(some, some, n, Config(), 0).values())) for n in (1, 9)}
    assert scores[1] < scores[9]
    assert locality.small_gallery(some, some, 10, Config(), 0) == {}


def test_silhouette_needs_two_landmarks():
    some = clouds(10, spread=0.01)
    assert locality.silhouette(some.vectors, some.labels).min() > 0.9
    assert np.isnan(locality.silhouette(some.vectors[:1], some.labels[:1])).all()
