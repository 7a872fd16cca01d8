"""PCRLv2's tasks end to end on fakes: leaks of its lists, nodules with CPM, four modalities on an encoder of one channel."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes import brats18, chestxray14, chexpert, lits, luna16
from vesalius import checkpoint, results, zoo
from vesalius.checkpoint import Card
from vesalius.data.datasets import open_dataset
from vesalius.data.prepare import prepare, steps_for, steps_to_json
from vesalius.data.steps import Canonical, Dimensions, Spacing, Step
from vesalius.errors import DataError, SettingError
from vesalius.evaluate import protocols
from vesalius.evaluate.command import _called, evaluate
from vesalius.evaluate.froc import RATES
from vesalius.evaluate.leakage import Guard
from vesalius.evaluate.predict import predict
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study
from vesalius.evaluate.tasks import Classes
from vesalius.evaluate.trainings import contestants
from vesalius.train.run import configure
from vesalius.train.sources import open_sources
from vesalius.zoo import Loaded

pytestmark = pytest.mark.usefixtures("own_cache")


def encoder(path: Path, steps: Sequence[Step], **about: Any) -> Path:
    """A small random encoder of volumes with one channel, as a run writes it."""
    torch.manual_seed(0)
    backbone = zoo.build("unet4x2", 3, 1)
    card = Card(zoo.description("unet4x2", backbone), prepare=steps_to_json(steps), **about)
    checkpoint.write(path, backbone.state_dict(), card)
    return path


# Leaks


def pretrained(folder: Path, spec: str) -> Path:
    """The folder of a run, as if it had been pretrained on `spec`: who its patients are comes from the loader of training."""
    run = configure("moco", {"data": (spec,), "size": 32, "holdout": 0.0, "cache": str(folder / "cache")})
    sources = open_sources(run)
    encoder(folder / "encoder.safetensors", steps_for(3), data=sources.facts)
    (folder / "patients.json").write_text(json.dumps(sources.patients))
    return folder


def test_an_encoder_of_the_ratio_lists_is_not_tested_on_the_official_test(tmp_path: Path) -> None:
    root = chestxray14.write(tmp_path / "nih")
    names = [row.split(",")[0] for row in chestxray14.ROWS]
    (root / "train.txt").write_text("\n".join((names[3], names[0], names[1])))
    (root / "valid.txt").write_text(names[2])
    lists = f"chestxray14:{root}?ratio=0.4&train_list=train.txt&val_list=valid.txt"
    run = pretrained(tmp_path / "run", f"{lists}&only=pretrain")
    official = open_dataset(f"chestxray14:{root}")
    with pytest.raises(DataError, match="1 of 1 patients of test were in its pretraining"):
        Guard({"run": run}, official, official.splits()["test"], ("train_val", "test"))
    own = open_dataset(lists)
    assert Guard({"run": run}, own, own.splits()["test"], ("train", "test")).stamp("run", [], []) == ""


def test_a_part_of_which_nothing_is_here_is_said_and_rows_name_the_protocol(tmp_path: Path) -> None:
    root = chestxray14.write(tmp_path / "nih")
    names = [row.split(",")[0] for row in chestxray14.ROWS]  # the last is absent
    (root / "train.txt").write_text(f"{names[0]} 0 1\n{names[-1]} 0 1\n")
    (root / "valid.txt").write_text(f"{names[2]} 0 0\n")
    spec = f"chestxray14:{root}?task=any&ratio=0.5&train_list=train.txt&val_list=valid.txt"
    assert (_called(open_dataset(spec)), _called(open_dataset(f"chestxray14:{root}"))) == (
        "chestxray14, ratio 0.5",
        "chestxray14",
    )
    run = encoder(tmp_path / "encoder.safetensors", steps_for(2))
    with pytest.raises(DataError, match="none of the images of train is here"):
        evaluate([run], tmp_path / "out", Study(spec, "linear", plan=Plan(draws=1)))


@pytest.mark.parametrize(("seen", "asked"), [("lidc_idri", "luna16"), ("msd", "brats18")])
def test_the_same_scans_under_other_names_are_said(
    tmp_path: Path, seen: str, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = encoder(tmp_path / "run" / "encoder.safetensors", steps_for(3), data=[{"dataset": seen}]).parent
    (run / "patients.json").write_text(
        json.dumps({"key": "00", "sources": [{"dataset": seen, "train": [], "watch": []}]})
    )
    data = open_dataset(f"{asked}:{(luna16 if asked == 'luna16' else brats18).write(tmp_path / 'root')}")
    Guard({"run": run}, data, data.ids, ("train", "test"))
    assert f"{asked} and {seen} share images under other names" in capsys.readouterr().err
    both = [{"dataset": name, "train": [], "watch": []} for name in (seen, asked)]
    (run / "patients.json").write_text(json.dumps({"key": "00", "sources": both}))
    Guard({"run": run}, data, data.ids, ("train", "test"))  # that its own were seen too takes nothing from that
    assert f"{asked} and {seen} share images under other names" in capsys.readouterr().err


# Findings, nodules


def test_findings_are_classified_but_for_one_that_is_uncertain_in_all_of_training(tmp_path: Path, capsys: Any) -> None:
    root = chexpert.write(tmp_path / "root")
    torch.manual_seed(0)
    backbone = zoo.build("unet4x2", 2, 1)
    card = Card(zoo.description("unet4x2", backbone), prepare=steps_to_json(steps_for(2)))
    checkpoint.write(tmp_path / "one.safetensors", backbone.state_dict(), card)
    settings = {"size": 16, "steps": 1, "batch": 2}
    study = Study(f"chexpert:{root}", "finetune", test="valid", plan=Plan(draws=1), settings=settings)
    with pytest.raises(DataError, match="class 'Lung Lesion' has one value"):
        evaluate([tmp_path / "one.safetensors"], tmp_path / "out", study)
    study = replace(study, classes=("No Finding", "Cardiomegaly", "Lung Opacity"))
    rows = results.read(evaluate([tmp_path / "one.safetensors"], tmp_path / "out", study))
    assert {row.structure for row in rows if row.name == "auc"} == {"No Finding", "Lung Opacity"}
    assert {row.shots for row in rows} == {2}  # patients
    assert "'Cardiomegaly' has one value among the 2 labelled patients" in capsys.readouterr().err


def test_nodules_are_classified_with_auc_and_cpm(tmp_path: Path) -> None:
    root = luna16.write(tmp_path / "root")
    steps = (Dimensions(3), Canonical(), Spacing((3.0, 3.0, 3.0), upsample=True))
    run = encoder(tmp_path / "encoder.safetensors", steps)
    spec = f"luna16:{root}?task=candidates&negatives=0"
    settings = {"size": 8, "steps": 2, "batch": 4}
    study = Study(spec, "finetune", plan=Plan(draws=1), settings=settings)
    rows = results.read(evaluate([run], tmp_path / "out", study))
    assert [row.name for row in rows] == ["auc", "ap", "cpm"]  # of one scan there is no interval
    assert {row.structure for row in rows} == {"nodule"}
    with np.load(tmp_path / "out" / rows[0].artefact) as arrays:
        label, score = arrays["label"], arrays["score"]
    assert len(label) == luna16.DARK + 1  # of one scan with two nodules, one of which has a candidate
    above = float((score[label == 0] > score[label == 1][0]).sum())
    expected = np.where(np.array(RATES) >= above, 0.5, 0.0).mean()
    assert rows[2].value == pytest.approx(expected)


def test_from_cubes_nothing_is_cropped_even_for_an_encoder_of_bodies(tmp_path: Path) -> None:
    steps = steps_for(3, spacing=(3.0, 3.0, 3.0), body=True, upsample=True)
    run = encoder(tmp_path / "encoder.safetensors", steps)
    assert {"CropBody", "Body"} <= {step["name"] for step in zoo.load(run).card.prepare}
    data = open_dataset(f"luna16:{luna16.write(tmp_path / 'root')}?task=candidates")
    (one,) = contestants([run], "linear")
    for id in data.ids:
        made = prepare(data.read(id), one.uncropped().loaded.steps).scan
        assert max(abs(side - 16) for side in made.shape) <= 1
    study = Study(f"luna16:{tmp_path / 'root'}?task=candidates", "linear", plan=Plan(draws=1), settings={"size": 8})
    assert [row.name for row in results.read(evaluate([run], tmp_path / "out", study))] == [
        "auc",
        "ap",
    ]  # no CPM: drawn


def test_volumes_are_classified_as_small_cubes_unless_a_size_is_given() -> None:
    for protocol in ("linear", "finetune"):
        for ndim, given, side in ((2, {}, 224), (3, {}, 48), (3, {"size": 24}, 24)):
            assert protocols.find(protocol, Classes(("nodule",)), given, ndim, False)[1].size == side


# Modalities


@pytest.mark.parametrize(("name", "ndim"), [("unet4x2", 3), ("fpn4x2", 3), ("resnet18", 2)])
def test_an_image_that_is_the_same_in_all_channels_gives_the_features_of_the_grey_one(name: str, ndim: int) -> None:
    torch.manual_seed(0)
    backbone = zoo.build(name, ndim, 1, [0.3], [0.5]).eval()
    loaded = Loaded(backbone, Card(zoo.description(name, backbone)))
    wide = zoo.widened(loaded, 4)
    grey = torch.rand(1, 1, *(32 if ndim == 2 else 8,) * ndim)
    four = grey.expand(-1, 4, *(-1,) * ndim)
    for a, b in zip(backbone(grey), wide.backbone(four), strict=True):
        torch.testing.assert_close(a, b)
    apart = four * torch.arange(1, 5).view(1, 4, *(1,) * ndim)
    torch.testing.assert_close(wide.backbone(apart)[-1], wide.backbone(apart.flip(1))[-1])  # all channels weigh alike
    assert zoo.description(name, wide.backbone) == wide.card.backbone
    assert loaded.card.backbone["in_channels"] == 1
    assert zoo.widened(loaded, 1) is loaded
    for fewer in (1, 3):
        with pytest.raises(SettingError, match=f"have {fewer} channels and the encoder takes 4"):
            zoo.widened(wide, fewer)


def test_liver_and_its_tumours_are_segmented_in_folds(tmp_path: Path) -> None:
    root = lits.write(tmp_path / "root")
    run = encoder(tmp_path / "one.safetensors", steps_for(3))
    settings = {"steps": 1, "batch": 2, "patch": (8, 8, 8), "head": "unet"}
    study = Study(f"lits:{root}", "finetune", plan=Plan(folds=2, draws=1), settings=settings)
    rows = results.read(evaluate([run], tmp_path / "out", study))
    dice = [row for row in rows if row.name == "dice"]
    assert {row.structure for row in dice} == {"liver", "tumour"}
    assert len({row.patient for row in dice}) == lits.LABELLED


def test_four_modalities_are_segmented_by_an_encoder_of_one_channel(tmp_path: Path) -> None:
    root = brats18.write(tmp_path / "root")
    for part, names in (("train", list(brats18.HOMES)[:3]), ("test", list(brats18.HOMES)[3:])):
        (root / f"{part}.txt").write_text("\n".join(names))
    run = encoder(tmp_path / "one.safetensors", steps_for(3))
    settings = {"steps": 1, "batch": 2, "patch": (8, 8, 8), "head": "unet"}
    spec = f"brats18:{root}?train_list=train.txt&test_list=test.txt"
    study = Study(spec, "finetune", plan=Plan(draws=1), settings=settings, save=True)
    rows = results.read(evaluate([run, "scratch"], tmp_path / "out", study))
    assert {(row.run, row.structure) for row in rows} == {
        (name, structure) for name in ("one", "scratch") for structure in ("whole tumour", "tumour core")
    } | {(row.run, row.structure) for row in rows if row.structure == "enhancing tumour"}
    network = next((tmp_path / "out" / "networks").glob("one-*"))
    assert checkpoint.describe(network).backbone["in_channels"] == 4
    one = next((root / "HGG").glob("*/*_flair.nii.gz"))
    with pytest.raises(DataError, match="has 1 channels, and the network was trained on 4"):
        predict(network, str(one), tmp_path / "masks")
