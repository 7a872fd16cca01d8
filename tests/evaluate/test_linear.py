from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from fakes.command import vesalius
from vesalius import results
from vesalius.chance import generator
from vesalius.evaluate.command import evaluate
from vesalius.evaluate.linear import fit
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study

pytestmark = pytest.mark.usefixtures("own_cache")


def data(n, gap, seed):
    """n points in 20-d, two classes `gap` apart along one axis; two images a patient."""
    rng = generator(seed)
    y = np.repeat(rng.integers(2, size=n // 2), 2).astype(float)
    return rng.normal(size=(n, 20)) + gap * np.outer(y, np.eye(20)[3]), y, np.array([f"p{i // 2}" for i in range(n)])


@pytest.mark.parametrize(("gap", "low", "high"), [(4, 0.98, 1.0), (0, 0.4, 0.6)])
def test_what_is_apart_is_told_apart_and_noise_is_not(gap, low, high):
    (x, y, who), (asked, truth, _) = data(200, gap, 0), data(600, gap, 1)
    assert low <= roc_auc_score(truth, fit(x, y, who, asked, 0)) <= high


def test_two_patients_are_enough_to_fit():
    x, y, who = data(4, 5, 2)
    y = np.array([0.0, 0, 1, 1])
    assert np.isfinite(fit(x, y, who, x, 0)).all()


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    """Bright images are positive; a third of the labels of another class is unknown."""
    folder = tmp_path / "images"
    folder.mkdir()
    lines, rng = ["image,patient,split,bright,other"], generator(3)
    for i in range(36):
        positive = i % 2
        Image.fromarray(rng.integers(0, 120, (40, 40), np.uint8) + np.uint8(100 * positive)).save(folder / f"{i}.png")
        other = "" if i % 3 == 0 else str(i % 4 // 2)
        lines.append(f"{i}.png,p{i},{'test' if i >= 24 else 'train'},{positive},{other}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder}"


def study(data: str, **more) -> Study:
    options = {"plan": Plan(shares=(0.25, 1.0), draws=2), "settings": {"size": 32}} | more
    return Study(data, "linear", **options)


def test_rows_of_every_share_and_draw_with_the_scores_beside(tiny_run: Path, tmp_path: Path, labelled: str):
    rows = results.read(evaluate([tiny_run, "random"], tmp_path / "out", study(labelled)))
    own = results.select(rows, run=tiny_run.name)
    assert {(row.shots, row.draw) for row in own} == {(6, 0), (6, 1), (24, 0)}  # no chance in all patients
    assert {(row.shots, row.draw) for row in rows if row.run == "random"} == {(6, 0), (6, 1), (24, 0), (24, 1)}
    assert {row.structure for row in rows} >= {"bright"}
    for row in results.select(rows, name="auc", structure="bright"):
        with np.load(tmp_path / "out" / row.artefact, allow_pickle=False) as arrays:
            assert row.value == pytest.approx(roc_auc_score(arrays["label"], arrays["score"]))
            assert len(arrays["patient"]) == 12
    for row in results.select(rows, name="auc", structure="other", run="random", shots=24):
        with np.load(tmp_path / "out" / row.artefact, allow_pickle=False) as arrays:
            assert len(arrays["label"]) == 8  # those that are labelled
    assert results.read(evaluate([tiny_run, "random"], tmp_path / "out", study(labelled))) == rows


def test_every_patient_is_tested_once_by_folds(tiny_run: Path, tmp_path: Path, labelled: str):
    plan = Plan(folds=3, seed=1)  # both values in every fold
    rows = results.read(evaluate([tiny_run], tmp_path, study(labelled, plan=plan, classes=("bright",))))
    assert {(row.fold, row.split, row.draw) for row in rows} == {(fold, "folds", 0) for fold in range(3)}
    tested = []
    for row in results.select(rows, name="auc"):
        with np.load(tmp_path / row.artefact, allow_pickle=False) as arrays:
            tested += arrays["patient"].tolist()
    assert len(tested) == len(set(tested)) == 24


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (("--classes", "brigth"), 1, "no image is labelled for 'brigth'"),
        (("--shares", "0"), 2, "setting shares"),
        (("--structures", "heart"), 1, "no image has a mask of 'heart'"),
        (("--protocol", "nonlinear"), 2, "nonlinear heads are for masks"),
        (("--lr", "1"), 2, "unknown setting lr"),
        (("--save",), 2, "trains no network that predict knows"),
        (("--folds", "24", "--classes", "bright"), 1, "class 'bright' has one value among those to test on"),
    ],
)
def test_what_cannot_be_asked_is_said(tiny_run: Path, tmp_path: Path, labelled: str, more, status, said):
    words = ["evaluate", tiny_run, "--data", labelled, "--out", tmp_path / "o", "--protocol", "linear", "--size", 32]
    done = vesalius(*words, *more)
    assert (done.status, said in done.err) == (status, True), done
