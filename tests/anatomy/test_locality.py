from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from vesalius import statistics
from vesalius.anatomy import locality
from vesalius.anatomy.locality import Config, RawPixels
from vesalius.chance import generator
from vesalius.data.cache import key_hash
from vesalius.data.prepare import steps_for
from vesalius.data.scan import Labels, Scan
from vesalius.errors import DataError
from vesalius.models.backbone import Backbone
from vesalius.results import select

CONFIG = Config(size=16, k=3, short_side=40)
NAMES = ("apex", "hilum", "base")


@dataclass
class Bodies:
    """Scans whose landmarks differ by brightness alone, strewn anew in every patient; `n` patients, two scans each."""

    n: int = 6
    ndim: int = 2
    contrast: float = 1.0

    @property
    def ids(self):
        return tuple(f"{i:02d}" for i in range(2 * self.n))

    def patient(self, id):
        return f"patient {int(id) // 2}"

    def labels(self, id):
        order = generator(1, int(id)).permutation(3)
        points = np.array([[8, 8, 8], [8, 30, 8], [30, 19, 30]], float)[order, : self.ndim]
        return Labels(landmarks=dict(zip(NAMES, points, strict=True)))

    def read(self, id):
        rng = generator(2, int(id))
        image = rng.integers(0, 8, (1, *(40,) * self.ndim), np.uint8)
        for bright, point in enumerate(self.labels(id).landmarks.values()):
            box = tuple(slice(int(p) - 6, int(p) + 7) for p in point)
            image[(0, *box)] += np.uint8(self.contrast * 100 * bright)
        return Scan(image, "0..1", id=id, patient=self.patient(id))


class Brightness(nn.Module):
    """What an encoder that tells these landmarks apart would see."""

    in_channels, channels, strides = 1, (2,), (1,)

    def __init__(self, ndim=2, gain=1.0):
        super().__init__()
        self.ndim, self.gain = ndim, gain

    def forward(self, x):
        angle = 1.5 * self.gain * x.mean(tuple(range(1, x.ndim)), keepdim=True)
        return [torch.cat([angle.cos(), angle.sin()], 1)]


def scores(rows, run, name="knn_accuracy"):
    return select(rows, run=run, name=name)


def mean(rows):
    return np.mean([row.value for row in rows])


def clouds(n=30, d=16, spread=1.5):
    """(3 n, d) vectors around three centres, their labels, and ten patients."""
    rng = generator(3)
    labels, patients = np.tile(NAMES, n), np.repeat([f"p{i % 10}" for i in range(n)], 3)
    centres = rng.normal(size=(3, d))
    return (np.tile(centres, (n, 1)) + spread * rng.normal(size=(3 * n, d))).astype(np.float32), labels, patients


@pytest.mark.parametrize("k", [1, 3, 7])
def test_accuracy_is_scikit_learns_leaving_one_patient_out(k):
    vectors, labels, patients = clouds()
    found = locality.accuracy(vectors, labels, patients, k)
    for patient in np.unique(patients):
        mine = patients == patient
        peer = KNeighborsClassifier(k, metric="cosine", weights=lambda d: 1 + (1 - d) / (4 * k))
        peer.fit(vectors[~mine], labels[~mine])
        assert found[patient] == peer.score(vectors[mine], labels[mine])
    assert 0.5 < np.mean(list(found.values())) < 0.95


def test_neighbours_of_the_same_patient_do_not_count():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0.5]], np.float32)
    labels, patients = np.array(["a", "a", "a", "b"]), np.array(["p", "p", "q", "q"])
    assert locality.accuracy(vectors, labels, patients, 1) == {"p": 0.0, "q": 1.0}


def test_a_landmark_that_no_other_patient_has_is_no_query():
    vectors, labels, patients = clouds(6)
    labels = np.where(patients == "p0", np.where(labels == "apex", "only p0 has it", labels), labels)
    right, answerable = locality.correct(vectors, labels, patients)
    assert (labels[~answerable] == "only p0 has it").all()
    assert not right[~answerable].any()
    assert answerable.sum() == 17


def test_a_tie_goes_to_the_nearer():
    vectors = np.array([[1, 0], [1, 0.1], [1, 0.3]], np.float32)
    labels, patients = np.array(["b", "b", "a"]), np.array(["p", "q", "r"])
    assert locality.accuracy(vectors, labels, patients, 2)["p"] == 1
    assert locality.accuracy(vectors[[0, 2, 1]], labels, patients, 2)["p"] == 0


def test_rotating_and_scaling_all_vectors_changes_nothing():
    vectors, labels, patients = clouds()
    rotation = np.linalg.qr(generator(4).normal(size=(16, 16)))[0]
    turned = (7 * vectors @ rotation).astype(np.float32)
    assert locality.accuracy(turned, labels, patients) == locality.accuracy(vectors, labels, patients)


def test_a_constant_embedding_is_at_chance():
    _, labels, patients = clouds(200)
    found = locality.accuracy(np.ones((600, 4), np.float32), labels, patients)
    assert np.mean(list(found.values())) == pytest.approx(1 / 3)


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_encoder_that_tells_the_landmarks_apart_has_accuracy_one(ndim):
    rows = list(locality.measure(Brightness(ndim), Bodies(4, ndim), CONFIG, key=b"k"))
    assert isinstance(Brightness(), Backbone)
    assert {row.patient for row in scores(rows, "")} == {key_hash(b"k", f"patient {i}") for i in range(4)}
    assert mean(scores(rows, "")) == 1
    assert mean(scores(rows, "", "silhouette")) > 0.95
    assert {row.structure: row.value for row in scores(rows, "", "knn_accuracy_of_landmark")} == dict.fromkeys(NAMES, 1)


def test_what_was_learned_is_told_from_chance():
    rows, difference = locality.compare(Brightness(), Brightness(gain=0), Bodies(12), CONFIG)
    assert difference.excludes(0)
    assert difference.n == 12
    assert difference.value == pytest.approx(mean(scores(rows, "trained")) - mean(scores(rows, "random")))
    assert {row.run for row in rows} == {"trained", "random", "raw_pixels", "coordinates"}


def test_of_two_equal_encoders_no_difference_is_shown():
    rows, difference = locality.compare(Brightness(), Brightness(), Bodies(5), CONFIG)
    assert (difference.low, difference.high) == (0, 0)
    assert statistics.compare(scores(rows, "trained"), scores(rows, "random"), generator(0)) == difference


def test_raw_pixels_are_blind_to_brightness_and_see_the_shape():
    patches = torch.rand(5, 1, 40, 40)
    torch.testing.assert_close(RawPixels(16)(patches + 0.3), RawPixels(16)(patches), atol=1e-5, rtol=0)
    flat = RawPixels(40)(patches)
    torch.testing.assert_close(flat, (patches - patches.mean((1, 2, 3), keepdim=True)).flatten(1))


def test_coordinates_are_nearest_where_the_places_are():
    places = generator(5).random((60, 3)).astype(np.float32)
    cosine = (lambda v: v @ v[0])(locality.coordinates(places))
    distance = ((places - places[0]) ** 2).sum(1)
    assert np.argsort(-cosine)[:5].tolist() == np.argsort(distance)[:5].tolist()


def test_coordinates_do_not_help_where_bodies_are_strewn():
    rows, _ = locality.compare(Brightness(), Brightness(), Bodies(20), CONFIG)
    assert mean(scores(rows, "coordinates")) < 0.6


def test_only_the_scans_asked_for_are_read():
    rows, difference = locality.compare(Brightness(), Brightness(), Bodies(5), CONFIG, ids=("00", "02", "03"))
    assert difference.n == len(scores(rows, "trained")) == 2


def test_steps_prepare_what_the_encoder_and_all_controls_see():
    data, steps = Bodies(4), steps_for(2, 20)
    given, _ = locality.compare(Brightness(), Brightness(), data, CONFIG, key=b"k", steps=steps)
    smaller, _ = locality.compare(Brightness(), Brightness(), data, replace(CONFIG, short_side=20), key=b"k")
    assert given == smaller
    whole = locality.landmark_patches(data, "00", CONFIG)[1]
    assert not whole.equal(locality.landmark_patches(data, "00", CONFIG, steps)[1])


def test_one_patient_is_not_enough():
    with pytest.raises(DataError, match="landmarks of 1 patients"):
        list(locality.measure(Brightness(), Bodies(1), CONFIG))


def test_a_landmark_out_of_the_image_is_left_out():
    bodies = Bodies(2)
    bodies.labels = lambda id: Labels(landmarks={"in": np.array([5.0, 39.4]), "out": np.array([5.0, 39.6])})
    names, patches, places = locality.landmark_patches(bodies, "00", CONFIG)
    assert names == ["in"]
    assert patches.shape == (1, 1, 16, 16)
    np.testing.assert_allclose(places, [[5.5 / 40, 39.9 / 40]])
