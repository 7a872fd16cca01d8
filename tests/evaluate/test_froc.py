"""FROC and CPM: against a slow loop over thresholds, in closed form, and from a data set of candidates."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from fakes import luna16
from fakes.luna16 import UID
from vesalius.chance import generator
from vesalius.data.cache import default_root, key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError, SettingError
from vesalius.evaluate.froc import RATES, Marks, check, cpm, interval, marked, marks_of, sensitivity
from vesalius.features.subjects import Subject


def some(seed: int, scans: int = 12, lesions: int = 9, marks: int = 150, ties: bool = False) -> Marks:
    rng = generator(seed)
    of = np.sort(rng.integers(scans, size=lesions))
    lesion = np.where(rng.random(marks) < 0.1, rng.integers(lesions, size=marks), -1)
    scan = np.where(lesion >= 0, of[lesion], rng.integers(scans, size=marks))
    score = rng.normal(size=marks) + 1.5 * (lesion >= 0)
    return Marks(score.round(1) if ties else score, scan, lesion, of, scans)


def slow(marks: Marks, rate: float, times: np.ndarray) -> float:
    """A point a threshold, by counting; then the line through them."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(marks.score), reverse=True):
        false, found = 0.0, set()
        for score, scan, lesion in zip(marks.score, marks.scan, marks.lesion, strict=True):
            if score >= threshold and lesion < 0:
                false += times[scan]
            elif score >= threshold:
                found.add(int(lesion))
        hit = sum(times[marks.of[lesion]] for lesion in found)
        points.append((false / times.sum(), hit / times[marks.of].sum()))
    left = max(point for point in points if point[0] <= rate)
    right = min((point for point in points if point[0] > rate), default=None)
    if right is None:
        return left[1]
    return left[1] + (rate - left[0]) / (right[0] - left[0]) * (right[1] - left[1])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_a_slow_loop_counts(seed: int, ties: bool) -> None:
    marks = some(seed, ties=ties)
    times = generator(seed, 1).integers(0, 4, (3, marks.scans)).astype(float)
    for row, own in zip(sensitivity(marks, weights=times), times, strict=True):
        np.testing.assert_allclose(row, [slow(marks, rate, own) for rate in RATES])
    np.testing.assert_allclose(sensitivity(marks)[0], [slow(marks, rate, np.ones(marks.scans)) for rate in RATES])
    assert cpm(marks) == pytest.approx(sensitivity(marks)[0].mean())


def plain(score, lesion, scan, of, scans) -> Marks:
    scan, lesion, of = (np.array(x, np.int64) for x in (scan, lesion, of))
    return Marks(np.array(score, float), scan, lesion, of, scans)


def test_perfect_is_one_blind_is_nought_and_a_lesion_without_a_mark_is_missed() -> None:
    of = [0, 1, 1, 2]
    for lesion, expected in (((0, 1, 2, 3), 1.0), ((0, 1, 2, 2), 0.75), ((-1, -1, -1, -1), 0.0)):
        assert cpm(plain((4, 3, 2, 1), lesion, (0, 1, 1, 1), of, 3)) == expected
    with pytest.raises(SettingError, match="0 lesions"):
        plain((1,), (-1,), (0,), (), 1)
    with pytest.raises(SettingError, match="not all finite"):
        plain((np.nan,), (-1,), (0,), (0,), 1)


def test_of_one_score_for_all_the_curve_is_the_line_from_nought_to_the_last_point() -> None:
    marks = plain([0.5] * 20, [0, 1, *[-1] * 18], [0, 1, *[0] * 9, *[1] * 9], [0, 1], 2)  # 9 false positives a scan
    np.testing.assert_allclose(sensitivity(marks)[0], np.array(RATES) / 9)
    np.testing.assert_allclose(sensitivity(marks, (9.0, 20.0))[0], 1)


def test_each_lesion_behind_one_false_positive_more() -> None:
    """In 8 scans, lesion k is found after k false positives: at 1/8 a scan 1 of 8 behind the first, and so on."""
    score = [value for k in range(8) for value in (-2.0 * k, -2.0 * k - 1)]
    marks = plain(score, [v for k in range(8) for v in (-1, k)], [k for k in range(8) for _ in (0, 1)], range(8), 8)
    np.testing.assert_allclose(sensitivity(marks)[0], np.minimum([1 / 8, 2 / 8, 4 / 8, 1, 1, 1, 1], 1))


def test_scores_count_by_their_order_alone_and_more_false_alarms_never_help() -> None:
    marks = some(6)
    bent = Marks(np.exp(3 * marks.score) - 7, marks.scan, marks.lesion, marks.of, marks.scans)
    np.testing.assert_array_equal(sensitivity(marks), sensitivity(bent))
    louder = Marks(marks.score + (marks.lesion < 0), marks.scan, marks.lesion, marks.of, marks.scans)
    assert (sensitivity(louder) <= sensitivity(marks)).all()
    assert (np.diff(sensitivity(marks)[0]) >= 0).all()


def test_the_interval_is_over_scans() -> None:
    marks = some(7, scans=40, lesions=30, marks=900)
    found = interval(marks, generator(0), resamples=400)
    assert found.low < found.value < found.high
    assert (found.value, found.n) == (cpm(marks), 40)
    shuffled = Marks(marks.score, 39 - marks.scan, marks.lesion, 39 - marks.of, 40)  # scans by other numbers
    assert cpm(shuffled) == cpm(marks)
    whole = plain((3, 2), (0, 1), (0, 1), (0, 1), 2)
    assert (interval(whole, generator(0)).low, interval(whole, generator(0)).high) == (1, 1)
    assert np.isnan(interval(plain((1,), (0,), (0,), (0,), 1), generator(0)).low)


def test_candidates_of_luna16_become_marks(tmp_path: Path) -> None:
    root = luna16.write(tmp_path / "root")
    data = marked(open_dataset(f"luna16:{root}?task=candidates&negatives=0"))
    assert data is not None
    truth = [data.labels(id).classes["nodule"] for id in data.ids]
    marks = marks_of(data, data.ids, truth)
    assert (marks.scans, len(marks.of)) == (4, 5)
    np.testing.assert_allclose(sensitivity(marks)[0], 4 / 5)  # one nodule has no candidate
    asked = [id for id in data.ids if id.startswith(f"{UID}10")]
    only = marks_of(data, asked, [float(data.lesion(id) == 1) for id in asked])
    assert sensitivity(only, (0.0, 7.0)).tolist() == [[0.5, 1.0]]  # then all others, of one score: 6 false positives
    scores = {id: float((data.read(id).image == luna16.VALUE).any()) for id in data.ids}
    every = marks_of(data, list(scores), list(scores.values()))
    turned = marks_of(data, list(scores)[::-1], list(scores.values())[::-1])
    assert cpm(every) == cpm(turned)
    assert marked(open_dataset(f"luna16:{root}")) is None  # whole scans


@pytest.mark.parametrize(
    ("query", "whole"),
    [("", False), ("&negatives=0", True), ("&test_negatives=0", True), ("&negatives=0&test_negatives=1", False)],
)
def test_where_marks_were_drawn_there_is_no_cpm(
    tmp_path: Path, query: str, whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    data = marked(open_dataset(f"luna16:{luna16.write(tmp_path / 'root')}?task=candidates&only=train,test{query}"))
    assert data is not None
    salt = salt_of(default_root())
    test = [Subject(key_hash(salt, id), "", np.zeros((1, 2, 2, 2), np.int16), "HU", {}) for id in data.splits()["test"]]
    assert check(data, test) == whole
    assert ("no CPM: of 1 test scans not all marks are there" in capsys.readouterr().err) != whole
    (tmp_path / "root" / "annotations.csv").unlink()
    again = marked(open_dataset(f"luna16:{tmp_path / 'root'}?task=candidates&only=train,test{query}"))
    with pytest.raises(DataError, match=r"annotations\.csv") if whole else nullcontext():  # before the training
        check(again, test)
