"""One file that explains itself, written whole or not at all."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vesalius import checkpoint
from vesalius.checkpoint import Card
from vesalius.errors import CheckpointError
from vesalius.settings import to_dict

CARD = Card(
    backbone={"name": "resnet18", "mean": [0.485]}, method="adam", stage=2, step=7, config={"levels": [0, 2]},
    data=[{"dataset": "folder", "images": 3}], notices=["a patent"], state={"place": {"best": float("inf")}},
)  # fmt: skip
TENSORS = {"weight": torch.randn(3, 4), "half": torch.randn(5).bfloat16(), "count": torch.tensor(3)}


def write(path: Path, value: float = 0.0) -> Path:
    checkpoint.write(path, {"weight": torch.full((3,), value)}, CARD)
    return path


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "deep" / "a.safetensors", TENSORS, CARD)
    tensors, card = checkpoint.read(tmp_path / "deep" / "a.safetensors")
    assert card == CARD == checkpoint.describe(tmp_path / "deep" / "a.safetensors")
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert all(tensors[name].dtype == TENSORS[name].dtype for name in TENSORS)


def test_views_that_share_memory_and_lie_crosswise_are_written_as_they_look(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    layout = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    given = {"whole": whole, "turned": whole.T, "part": whole[1:], "layout": layout}
    checkpoint.write(tmp_path / "a.safetensors", given, CARD)
    tensors, _ = checkpoint.read(tmp_path / "a.safetensors")
    assert all(torch.equal(tensors[name], given[name]) for name in given)


@pytest.mark.parametrize("length", range(8))
def test_no_header_is_taken_for_a_pickle(tmp_path: Path, length: int) -> None:
    """The first byte is that of the header's length, so one in 32 files begins as a pickle does."""
    texts = ["x" * (8 * i) for i in range(64)]
    for text in texts[length::8]:
        checkpoint.write(tmp_path / "a.safetensors", {"weight": torch.ones(1)}, replace(CARD, task=text))
        assert checkpoint.describe(tmp_path / "a.safetensors").task == text


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = write(tmp_path / "a.safetensors", 1.0)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        write(path, 2.0)
    assert checkpoint.read(path)[0]["weight"].tolist() == [1.0] * 3


def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.safetensors", 1.0)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"could not be written \(No space left on device\). Make room"):
        write(path, 2.0)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    assert checkpoint.read(path)[0]["weight"].tolist() == [1.0] * 3


def test_a_line_is_appended_or_an_error_names_the_file(tmp_path: Path) -> None:
    for line in "ab":
        checkpoint.append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text() == "a\nb\n"
    with pytest.raises(CheckpointError, match="could not be written"):
        checkpoint.append_line(tmp_path / "none" / "log", "a")


def test_the_load_report_lists_what_misfits(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.BatchNorm1d(1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    tensors = {name: value + 1 for name, value in before.items() if not name.startswith("2.running")}
    tensors |= {"0.weight": torch.zeros(5, 5), "head.bias": torch.zeros(1)}
    with pytest.raises(CheckpointError) as error:
        checkpoint.load_strictly(module, tensors, tmp_path / "a.safetensors")
    assert "2 missing (2.running_mean, 2.running_var); 1 not expected (head.bias)" in str(error.value)
    assert "1 of another shape (0.weight (5, 5) for (3, 2))" in str(error.value)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "holds weights but no vesalius card"),
        ({"vesalius": "{"}, "is not a readable safetensors file"),
        ({"vesalius": "[]"}, "has format None"),
        ({"vesalius": json.dumps({"format": 99})}, "has format 99. This version reads format 1"),
        ({"vesalius": json.dumps({**to_dict(CARD), "mood": "good"})}, "does not parse .unknown setting mood"),
        ({"vesalius": json.dumps({**to_dict(CARD), "step": "seven"})}, "does not parse .setting step is 'seven'"),
    ],
)
def test_a_card_that_cannot_be_used_says_why(tmp_path: Path, metadata: dict[str, str] | None, message: str) -> None:
    save_file({"weight": torch.ones(1)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.read(tmp_path / "a.safetensors")
    assert error.value.file == str(tmp_path / "a.safetensors")
    assert error.value.remedy
