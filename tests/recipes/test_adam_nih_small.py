"""The recipe of the real runs, on fakes in the layout of its data: it trains, goes on, and writes down what it found."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from fakes import chestxray14, folder
from vesalius import zoo
from vesalius.errors import SettingError
from vesalius.recipes import adam_nih_small as recipe
from vesalius.results import read


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """Six images of NIH and Hannover as they lie on disk, and settings that take a second."""
    root = tmp_path / "data"
    chestxray14.write(root / "cxr/nih")
    (root / "cxr/nih/Data_Entry_2017_v2020.csv").rename(root / "cxr/nih/labels.csv")
    folder.write(root / "cxr/hannover")
    (root / "cxr/hannover/manifest.csv").rename(root / "cxr/hannover/metadata.csv")
    (root / "splits").mkdir()
    (root / recipe.EXCLUDED).write_text("3\n")
    monkeypatch.setattr(
        recipe, "SETTINGS", {**recipe.SETTINGS, "batch": 4, "epochs": 2, "holdout": 0.0, "log_steps": 1}
    )
    monkeypatch.setattr(recipe, "METHOD", {**recipe.METHOD, "size": 16, "bank": 8, "groups": 1})
    return root


def test_three_runs_are_trained_and_written_down(data: Path, tmp_path: Path) -> None:
    out, root = tmp_path / "runs", tmp_path / "checkout"
    (root / "src/vesalius/recipes/results").mkdir(parents=True)
    for _ in range(2):  # the second time all is done already
        recipe.main(str(data), str(out))
    recipe.main(out=str(out), record=str(root))
    rows = read(root / f"src/vesalius/recipes/results/{recipe.NAME}.jsonl")
    assert {row.run for row in rows} == set(recipe.RUNS)
    assert [row.name for row in rows][:2] == ["hours", "loss, stage 0"]
    for name in recipe.RUNS:
        weights = root / f"weights/{recipe.NAME}-{name}.safetensors"
        assert str(load_file(weights)["conv1.weight"].dtype) == "torch.bfloat16"
        assert [source["images"] for source in zoo.load(weights).card.data] == [3, 6]
    written = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    assert not [text for text in written if str(data).encode() in text]


def test_an_unknown_run_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="only is 'admn'"):
        recipe.main(str(data), str(tmp_path / "runs"), only="admn")
