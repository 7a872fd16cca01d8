"""`vesalius evaluate`: rows of every test patient, for encoders and for scratch, and what is said when it cannot be."""

from dataclasses import replace
from pathlib import Path

import pytest

from fakes.command import vesalius
from vesalius import results
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import segmentation
from vesalius.evaluate.command import evaluate as run_all
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study

pytestmark = pytest.mark.usefixtures("own_cache")
PHANTOM = "phantom:?bodies=10&size=64"
QUICK = Study(
    PHANTOM, structures=("heart",), plan=Plan(shots=(2, 4), draws=2), settings={"size": 32, "steps": 1, "batch": 2}
)


def evaluate(run, out, **more):
    return results.read(run_all([run, "scratch"], out, replace(QUICK, **more)))


def test_a_row_for_every_test_patient_shot_and_draw(tiny_run: Path, tmp_path: Path):
    rows = results.select(evaluate(tiny_run, tmp_path), name="dice")
    assert len(rows) == 2 * 2 * 2 * len(open_dataset(PHANTOM).splits()["test"])
    assert {row.run for row in rows} == {tiny_run.name, "scratch"}
    assert {(row.structure, row.measure, row.split, row.data) for row in rows} == {
        ("heart", "fewshot", "test", "phantom")
    }
    assert {row.shots for row in rows} == {2, 4}
    seeds = {(row.draw, row.seed) for row in rows}
    assert len(seeds) == 2  # the decoder starts alike for both encoders


def test_what_was_trained_before_is_not_trained_again(tiny_run: Path, tmp_path: Path, monkeypatch):
    whole = evaluate(tiny_run, tmp_path / "whole")
    path = tmp_path / "half" / results.FILE
    results.write(path, [row for row in whole if not (row.run == "scratch" and row.draw == 1)])
    trained = []
    train = segmentation.train
    monkeypatch.setattr(segmentation, "train", lambda *a, **k: trained.append(1) or train(*a, **k))
    found = evaluate(tiny_run, tmp_path / "half")
    assert len(trained) == 2
    key = lambda row: (row.run, row.patient, row.shots, row.draw, row.name, row.value)  # noqa: E731
    assert sorted(map(key, found)) == sorted(map(key, whole))


def test_all_labels_with_other_seeds(tiny_run: Path, tmp_path: Path):
    rows = evaluate(tiny_run, tmp_path, protocol="finetune", plan=Plan(draws=2))
    patients = len(open_dataset(PHANTOM).splits()["train"])
    assert {(row.measure, row.shots) for row in rows} == {("finetune", patients)}
    assert len({row.seed for row in rows}) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN", "--structures", "hart"], "has a mask of 'hart'"),
        (["RUN", "--metrics", "dise"], "unknown metric dise"),
        (["RUN", "--shots", "99"], "99 shots"),
        (["RUN", "--protocol", "oneshot"], "unknown protocol oneshot"),
        (["RUN", "--test", "tset"], "'tset'"),
        (["scratch"], "no run given"),
        (["RUN", "RUN"], "cannot be told apart"),
    ],
)
def test_errors_are_one_line(tiny_run: Path, tmp_path: Path, words, said):
    chosen = [str(tiny_run) if word == "RUN" else word for word in words]
    done = vesalius("evaluate", *chosen, "--data", PHANTOM, "--out", tmp_path / "out", "--steps", 1, "--size", 32)
    errors = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert done.status in (1, 2), done
    assert len(errors) == 1, done
    assert said in errors[0]


def test_rows_of_other_settings_or_weights_are_not_gone_on_with(tiny_run: Path, tmp_path: Path):
    evaluate(tiny_run, tmp_path)
    for other, named in (({"lr": 0.5}, "lr: 0.001, not 0.5"), ({"size": 48}, "size: 32, not 48")):
        with pytest.raises(SettingError, match=named):
            evaluate(tiny_run, tmp_path, settings={**QUICK.settings, **other})
    with pytest.raises(SettingError, match="another seed"):
        evaluate(tiny_run, tmp_path, plan=replace(QUICK.plan, seed=1))
    more = evaluate(tiny_run, tmp_path, plan=replace(QUICK.plan, draws=3))
    assert {row.draw for row in more} == {0, 1, 2}
    (tmp_path / "evaluate.json").write_text("{")
    with pytest.raises(DataError, match=r"evaluate.json"):
        evaluate(tiny_run, tmp_path)
