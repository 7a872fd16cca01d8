"""Recipes of transfer, on a fake of their data and a tiny encoder: they measure, go on, and write down what can be kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import kermany, shenzhen
from vesalius.errors import SettingError
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.recipes import adam_ablations, transfer
from vesalius.recipes.tables import transfer as tables
from vesalius.results import read

pytestmark = pytest.mark.usefixtures("own_cache")


def test_what_is_measured_is_written_down_without_pictures_or_whole_hashes(tiny_run: Path, tmp_path: Path):
    study = Study(f"kermany:{kermany.write(tmp_path / 'data')}", "linear", plan=Plan(draws=1), settings={"size": 32})
    studies = {"kermany": ({"tiny": tiny_run, "random": "random"}, study)}
    out, root = tmp_path / "out", tmp_path / "checkout"
    (root / "src/vesalius/recipes/results").mkdir(parents=True)
    for runs in (("tiny",), (), ()):  # one of them, the rest; the third time all is done already
        transfer.measure(studies, out, "", runs)
    transfer.write_down(studies, out, root, "trial")
    folder = root / "src/vesalius/recipes/results"
    rows = read(folder / "trial.jsonl")
    assert {row.run for row in rows} == {"tiny", "random"}
    assert {row.name for row in rows} == {"auc"}
    for row in rows:
        with np.load(folder / row.artefact, allow_pickle=False) as arrays:
            assert {len(patient) for patient in arrays["patient"]} == {8}
    about = json.loads((folder / "trial.json").read_text())
    assert about["studies"]["kermany"]["data"] == "kermany"
    assert str(tmp_path) not in (folder / "trial.json").read_text()
    text = tables.markdown(rows, folder)
    assert text.startswith("| kermany, linear: AUC, pneumonia")
    assert "| tiny | " in text
    assert "tiny" in text.partition("Run against run")[2]


def test_an_unknown_encoder_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match=r"runs has one, two. There are three"):
        transfer.measure({"a": ({"three": ""}, Study("folder:x"))}, tmp_path, "", ("two", "three", "one"))


def test_data_sets_have_folders_of_their_own(tiny_run: Path, tmp_path: Path):
    root, out = tmp_path / "checkout", tmp_path / "out"
    (root / "src/vesalius/recipes/results").mkdir(parents=True)
    lists = "?train_list=train.txt&test_list=test.txt"
    sources = {"kermany": kermany.write(tmp_path / "k"), "shenzhen": f"{shenzhen.write(tmp_path / 's')}{lists}"}
    how = {"plan": Plan(draws=1), "settings": {"size": 32}}
    studies = {name: ({"tiny": tiny_run}, Study(f"{name}:{path}", "linear", **how)) for name, path in sources.items()}
    for name in studies:
        transfer.measure(studies, out, name)
    transfer.write_down(studies, out, root, "trial")
    rows = read(root / "src/vesalius/recipes/results/trial.jsonl")
    assert {row.data for row in rows} == set(sources)


def test_an_unknown_study_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match="only is 'x'"):
        transfer.measure({"a": ({}, replace(Study("folder:x")))}, tmp_path, "x")


def test_an_unknown_ablation_is_refused_too(tmp_path: Path):
    with pytest.raises(SettingError, match="only is 'gamma_08'"):
        adam_ablations.main(str(tmp_path), str(tmp_path / "out"), only="gamma_08")
