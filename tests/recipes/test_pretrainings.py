"""Recipes of pretraining: every run they name has settings that pass the checks made before any image is read."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import vesalius
from vesalius.data.datasets import names
from vesalius.errors import SettingError
from vesalius.methods import find
from vesalius.recipes import (
    adam_ablations,
    adam_fundus_small,
    adam_nih_small,
    hippocampus_small,
    pcrlv2_ct_small,
    pcrlv2_nih_small,
    variants,
    vox2vec_ct_small,
)
from vesalius.train import start
from vesalius.train.run import Run, as_json, configure

RECIPES = (
    adam_ablations, adam_fundus_small, adam_nih_small, hippocampus_small, pcrlv2_ct_small, pcrlv2_nih_small,
    vox2vec_ct_small,
)  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.NAME)
def test_every_run_of_a_recipe_can_be_configured(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[str, Run[Any]] = {}
    monkeypatch.setattr(vesalius, "carry_out", lambda run, resume: runs.setdefault(Path(run.out).name, run))
    recipe.main("DATA", "OUT")
    assert list(runs) == list(recipe.RUNS)
    for run in runs.values():
        module = find(run.name)
        start.check(run, module)
        with torch.device("meta"):  # sizes alone
            start.method(run, module, ranks=1)
        assert all(spec.partition(":")[0] in names() and "DATA" in spec for spec in run.data)


def test_an_ablation_is_its_recipe_but_for_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[str, Run[Any]] = {}
    monkeypatch.setattr(vesalius, "carry_out", lambda run, resume: runs.setdefault(Path(run.out).name, run))
    pcrlv2_ct_small.main("DATA", "OUT")
    full = runs["full"].method
    for name, (_, own) in pcrlv2_ct_small.ABLATIONS.items():
        changed = {key for key, value in vars(runs[name].method).items() if value != getattr(full, key)}
        assert changed == set(own)
        assert {key: getattr(runs[name].method, key) for key in own} == dict(own)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.NAME)
def test_nothing_is_recorded_before_a_run_has_finished(recipe: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "checkout/src/vesalius/recipes/results"
    folder.mkdir(parents=True)
    (folder / f"{recipe.NAME}.jsonl").write_text("as it was\n")
    with pytest.raises(SettingError, match=rf"runs: no run has finished here.*vesalius run {recipe.NAME}"):
        recipe.main(out=str(tmp_path / "runs"), record=str(tmp_path / "checkout"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == {f"{recipe.NAME}.jsonl": "as it was\n"}


def test_what_was_recorded_stays_where_a_run_cannot_be_read(tmp_path: Path) -> None:
    folder, run = tmp_path / "src/vesalius/recipes/results", tmp_path / "runs" / "one"
    for path in (folder, run):
        path.mkdir(parents=True)
    (run / "config.json").write_text(as_json(configure("moco", {})))
    (run / "encoder.safetensors").write_bytes(b"")  # of its first epochs
    with pytest.raises(SettingError, match="no run has finished"):
        variants.write_down({"one": ("moco", {})}, run.parent, tmp_path, "name", "")
    (run / "stage0.safetensors").write_bytes(b"")
    (folder / "name.jsonl").write_text("as it was\n")
    with pytest.raises(FileNotFoundError):  # it has no metrics
        variants.write_down({"one": ("moco", {})}, run.parent, tmp_path, "name", "")
    assert (folder / "name.jsonl").read_text() == "as it was\n"
