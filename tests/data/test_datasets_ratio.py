"""ChestX-ray14 by PCRLv2's ratio: its list is cut in its own order, and never mixes with the official test."""

from pathlib import Path

import pytest

from fakes import chestxray14
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError, SettingError

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


def test_lists_that_hold_official_test_images_are_refused_without_ratio_and_counted_with_it(root: Path) -> None:
    with pytest.raises(DataError, match=r"2 images of its lists are in test_list\.txt.*\?ratio="):
        open_dataset(f"chestxray14:{root}?train_list=pcrl_train.txt&val_list=pcrl_valid.txt").splits()
    notes = open_dataset(spec(root, "ratio=0.5")).notes  # type: ignore[attr-defined]
    assert "2 official test images are in train_list: never test on them what it has trained." in notes


@pytest.mark.parametrize("query", ["ratio=0.5", "ratio=0.5&train_list=pcrl_train.txt", "ratio=1"])
def test_a_ratio_needs_both_lists_and_leaves_something_on_either_side(root: Path, query: str) -> None:
    with pytest.raises(SettingError, match="Give both lists, and a ratio above 0 and below 1"):
        open_dataset(spec(root, query) if query == "ratio=1" else f"chestxray14:{root}?{query}")
    with pytest.raises(SettingError, match="Give one of them"):
        open_dataset(spec(root, "ratio=0.5&test_patients=who.txt"))
