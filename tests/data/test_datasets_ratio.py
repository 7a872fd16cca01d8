"""ChestX-ray14 by PCRLv2's ratio: its list is cut in its own order, and never mixes with the official test."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from fakes import chestxray14
from vesalius.data.checks import patients
from vesalius.data.datasets import open_dataset
from vesalius.data.splits import official
from vesalius.errors import DataError, SettingError
from vesalius.train.run import configure
from vesalius.train.sources import open_sources

NAMES = [row.split(",")[0] for row in chestxray14.ROWS]  # the last is absent
ORDER = [NAMES[3], NAMES[0], NAMES[4], NAMES[1]]  # as a list may be: neither sorted nor by patient


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = chestxray14.write(tmp_path_factory.mktemp("nih"))
    (root / "pcrl_train.txt").write_text("".join(f"{name} 0 1\n" for name in ORDER))
    (root / "pcrl_valid.txt").write_text(f"{NAMES[2]} 0 0\n")
    return root


def spec(root: Path, query: str) -> str:
    return f"chestxray14:{root}?{query}&train_list=pcrl_train.txt&val_list=pcrl_valid.txt"


@pytest.mark.parametrize(("ratio", "cut"), [(0.25, 1), (0.5, 2), (0.74, 2), (0.75, 3), (0.95, 3)])
def test_the_first_share_of_the_list_is_for_pretraining_and_the_last_for_fine_tuning(
    root: Path, ratio: float, cut: int
) -> None:
    found = open_dataset(spec(root, f"ratio={ratio}")).splits()
    assert found["pretrain"] == tuple(sorted(set(ORDER[:cut]) - {NAMES[4]}))
    assert found["train"] == tuple(sorted(set(ORDER[cut:]) - {NAMES[4]}))
    assert found["test"] == (NAMES[2],)
    part = open_dataset(spec(root, f"ratio={ratio}&only=pretrain"))
    assert part.ids == found["pretrain"]


def test_patients_in_pretrain_and_train_are_noted_and_in_train_and_test_an_error() -> None:
    patient = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    found = list(patients({"pretrain": ["a1"], "train": ["a2", "b1"], "test": ["b2"]}, patient))
    assert [(one.severity, "a leak" in one.text) for one in found] == [("note", False), ("error", True)]


def test_lists_that_hold_official_test_images_are_refused_without_ratio_and_counted_with_it(root: Path) -> None:
    with pytest.raises(DataError, match=r"2 images of its lists are in test_list\.txt.*\?ratio="):
        open_dataset(f"chestxray14:{root}?train_list=pcrl_train.txt&val_list=pcrl_valid.txt").splits()
    notes = open_dataset(spec(root, "ratio=0.5")).notes  # type: ignore[attr-defined]
    assert "2 official test images are in train_list: never test on them what it has trained." in notes


def test_of_ratio_1_all_of_the_list_is_for_pretraining_and_nothing_is_left(root: Path) -> None:
    data: Any = open_dataset(spec(root, "ratio=1.0"))
    assert data.splits() == {"pretrain": tuple(sorted(set(ORDER) - {NAMES[4]})), "test": (NAMES[2],)}
    assert any("nothing is left to fine-tune on" in note for note in data.notes)
    with pytest.raises(SettingError, match=r"no split 'train'\. Splits: pretrain, test"):
        official(data.splits(), "train")  # as evaluate does


def test_without_the_official_test_the_guard_says_that_it_cannot_check(root: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(root, tmp_path / "bare")
    (bare / "test_list.txt").unlink()
    words = r"bare: whether its lists hold official test images cannot be checked without test_list\.txt"
    with pytest.raises(DataError, match=words):
        open_dataset(spec(bare, "task=any")).splits()
    data: Any = open_dataset(spec(bare, "ratio=0.5"))
    assert set(data.splits()) == {"pretrain", "train", "test"}
    assert "Which official test images are in train_list cannot be told without test_list.txt." in data.notes


@pytest.mark.parametrize("query", ["ratio=0.5", "ratio=0.5&train_list=pcrl_train.txt", "ratio=0", "ratio=1.1"])
def test_a_ratio_needs_both_lists_and_is_a_share(root: Path, query: str) -> None:
    with pytest.raises(SettingError, match="Give both lists, and a ratio above 0 and up to 1"):
        open_dataset(f"chestxray14:{root}?{query}" if "0.5" in query else spec(root, query))
    with pytest.raises(SettingError, match="Give one of them"):
        open_dataset(spec(root, "ratio=0.5&test_patients=who.txt"))


@pytest.mark.parametrize("query", ["ratio=0.5", "ratio=0.5&only=pretrain,train", "ratio=0.5&only=test", "ratio=1"])
def test_pretraining_takes_the_part_for_pretraining_alone(root: Path, query: str, tmp_path: Path) -> None:
    own = {"out": str(tmp_path), "cache": str(tmp_path / "cache"), "holdout": 0.0, "size": 32}
    with pytest.raises(SettingError, match=r"images are not of the split pretrain.*&only=pretrain"):
        open_sources(configure("pcrlv2", {**own, "data": (spec(root, query),)}))
    part = spec(root, "ratio=0.75&only=pretrain")
    assert len(open_sources(configure("pcrlv2", {**own, "data": (part,)})).train) == 2  # the third is not on disk
