"""Volumes from labels to masks: heads and fine-tuning in patches, and predictions that lie on the input."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from fakes import msd
from fakes.command import vesalius
from vesalius import checkpoint, results, zoo
from vesalius.checkpoint import Card
from vesalius.data import shelf
from vesalius.data.cache import key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import steps_for, steps_to_json
from vesalius.evaluate.metrics import dice

QUICK = "--draws 1 --steps 2 --batch 2 --patch 8 8 4".split()


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A pyramid of random weights, as a run would leave it."""
    torch.manual_seed(0)
    backbone = zoo.build("fpn4x2", 3, 1)
    card = Card(zoo.description("fpn4x2", backbone), prepare=steps_to_json(steps_for(3)), method="vox2vec")
    path = tmp_path / "pyramid.safetensors"
    checkpoint.write(path, backbone.state_dict(), card)
    return path


@pytest.mark.parametrize("protocol", ["linear", "nonlinear", "finetune"])
def test_masks_have_the_dice_that_was_measured(encoder: Path, tmp_path: Path, own_cache: Path, protocol: str):
    data = f"msd:{msd.write(tmp_path / 'Task04_Hippocampus')}?fold=0&folds=3"
    words = ["evaluate", encoder, "--data", data, "--out", tmp_path / "o", "--protocol", protocol, *QUICK, "--save"]
    assert vesalius(*words).status == 0
    rows = results.select(results.read(tmp_path / "o" / results.FILE), name="dice")
    whole = open_dataset(data)
    test = whole.splits()["test"]
    assert {row.structure for row in rows} <= {"Anterior", "Posterior"}
    assert {row.patient for row in rows} <= {key_hash(salt_of(own_cache), whole.patient(id)) for id in test}
    path = whole.path(test[0])
    assert vesalius("predict", tmp_path / "o", path, tmp_path / "masks").status == 0
    labels, source = whole.labels(test[0]), nibabel.load(path)
    for row in (row for row in rows if row.patient == key_hash(salt_of(own_cache), whole.patient(test[0]))):
        found = nibabel.load(tmp_path / "masks" / f"{path.name.removesuffix('.nii.gz')}-{row.structure}.nii.gz")
        assert found.shape == source.shape
        np.testing.assert_allclose(found.affine, source.affine, atol=1e-5)
        truth = labels.mask[labels.structures.index(row.structure)]
        assert dice(np.asarray(found.dataobj) > 0, truth) == pytest.approx(row.value)


def test_what_the_memory_does_not_hold_changes_no_number(
    encoder: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    data = f"msd:{msd.write(tmp_path / 'Task04_Hippocampus')}?fold=0&folds=3"
    words = ["evaluate", encoder, "--data", data, "--protocol", "linear", *QUICK, "--whole"]
    held = list[int]()
    monkeypatch.setattr(
        shelf.Shelf, "_block", lambda self, size, make=shelf.Shelf._block: held.append(size) or make(self, size)
    )
    for name, share in (("memory", shelf.SHARE), ("file", 0.0)):
        monkeypatch.setattr(shelf, "SHARE", share)
        assert vesalius(*words, "--out", tmp_path / name).status == 0
        assert bool(held) == (name == "file")
    rows, others = (results.read(tmp_path / name / results.FILE) for name in ("memory", "file"))
    assert rows == others


def test_a_window_is_not_asked_of_volumes(encoder: Path, tmp_path: Path, own_cache: Path):
    data = f"msd:{msd.write(tmp_path / 'Task04_Hippocampus')}?fold=0&folds=3"
    words = ["evaluate", encoder, "--data", data, "--out", tmp_path / "o", "--protocol", "linear", *QUICK]
    assert "unknown setting window" in vesalius(*words, "--window", 8).error
    assert "unknown blend middle" in vesalius(*words, "--blend", "middle").error


def test_folds_of_the_data_set_gather_in_one_folder_and_other_data_does_not(
    encoder: Path, tmp_path: Path, own_cache: Path
):
    root = msd.write(tmp_path / "Task04_Hippocampus")
    words = ["evaluate", encoder, "--out", tmp_path / "o", "--protocol", "linear", *QUICK]
    for fold in (0, 1):
        assert vesalius(*words, "--data", f"msd:{root}?fold={fold}&folds=3").status == 0
    rows = results.read(tmp_path / "o" / results.FILE)
    assert {(row.fold, row.shots) for row in rows} == {(0, None), (1, None)}  # all of a fold, however many
    patients = [{row.patient for row in rows if row.fold == fold and row.patient} for fold in (0, 1)]
    assert all(patients)
    assert not patients[0] & patients[1]
    assert "with another data" in vesalius(*words, "--data", f"msd:{root}?fold=0&folds=2").error
