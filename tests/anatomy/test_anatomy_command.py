"""`vesalius anatomy`: every measure for a run and its controls, and what is said when it cannot be."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fakes.command import vesalius
from vesalius import checkpoint, results, zoo
from vesalius.anatomy.command import MEASURES, measure
from vesalius.anatomy.contestants import CONTROLS, contestants
from vesalius.anatomy.embedders import embedder
from vesalius.anatomy.observe import Config, observe
from vesalius.anatomy.sight import vectors_at
from vesalius.checkpoint import Card
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError, SettingError
from vesalius.features.subjects import load

pytestmark = pytest.mark.usefixtures("own_cache")
PHANTOM = "phantom:?bodies=3&size=64"
OF_VOXELS = {"organs", "levels"}  # these need voxels that were drawn, or an encoder of voxels
SMALL = {"grid": 3, "size": 16, "composed": 2, "conditions": ("upright", "all")}


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_every_measure_of_a_run_and_its_controls(tiny_run: Path, tmp_path: Path):
    before = (tiny_run / "encoder.safetensors").read_bytes()
    rows = results.read(measure([tiny_run], PHANTOM, tmp_path, **SMALL))
    assert {row.run for row in rows} == {tiny_run.name, *CONTROLS}
    assert {row.measure for row in rows} == set(MEASURES) - OF_VOXELS
    assert {row.data for row in rows} == {"phantom"}
    assert all(np.isfinite(row.value) for row in rows)
    for row in rows:
        if row.artefact:
            with np.load(tmp_path / row.artefact, allow_pickle=False) as arrays:
                assert len(arrays.files) > 1
    patients = {row.patient for row in rows if row.patient}
    assert len(patients) == 3
    assert not any("body" in patient for patient in patients)
    assert (tiny_run / "encoder.safetensors").read_bytes() == before


def test_a_random_network_for_each_architecture(tiny_run: Path, tmp_path: Path):
    network = zoo.build("resnet34")
    card = Card(zoo.description("resnet34", network), prepare=zoo.load(tiny_run).card.prepare)
    checkpoint.write(tmp_path / "deeper.safetensors", network.state_dict(), card)
    runs = {"a": tiny_run, "b": tiny_run, "c": tmp_path / "deeper.safetensors"}
    names = [one.name for one in contestants(runs, 0, "cpu")]
    assert names == ["a", "b", "c", "random", "random_resnet34", "raw_pixels", "coordinates"]


def test_same_seed_same_rows(tiny_run: Path, tmp_path: Path):
    one, two = (results.read(measure([tiny_run], PHANTOM, tmp_path / n, key=b"k", **SMALL)) for n in "ab")
    assert one == two
    other = results.read(measure([tiny_run], PHANTOM, tmp_path / "c", key=b"k", seed=1, **SMALL))
    assert [row.value for row in other] != [row.value for row in one]


def test_looking_changes_nothing_in_the_encoder(tiny_run: Path):
    loaded, data = zoo.load(tiny_run), open_dataset(PHANTOM)
    loaded.backbone.train()  # statistics of norms would move if it were used as it is
    before = state(loaded.backbone)
    observe("it", embedder(loaded.backbone), load(data, data.ids, loaded.steps, b"k"), Config(**SMALL))
    assert all(torch.equal(value, before[name]) for name, value in loaded.backbone.state_dict().items())
    assert loaded.backbone.training


def test_wider_patches_stand_beside_and_weigh_as_much():
    image, points = torch.rand(1, 40, 40), np.array([[12.0, 20.0], [30.0, 8.0]])
    embed = lambda patches, places: 7 * patches.flatten(1)  # noqa: E731
    one, two = (vectors_at(embed, image, points, Config(side=s, size=8))[0] for s in (0.2, 0.5))
    both, cut = vectors_at(embed, image, points, Config(side=0.2, wider=(0.5,), size=8))
    torch.testing.assert_close(both, torch.cat([one, two], 1) / 2**0.5)
    assert cut.shape == (2, 1, 8, 8)


def test_what_was_measured_is_not_measured_again(tiny_run: Path, tmp_path: Path, capsys):
    path = measure([tiny_run], PHANTOM, tmp_path, measures=("locality",), **SMALL)
    first = path.read_bytes()
    capsys.readouterr()
    measure([tiny_run], PHANTOM, tmp_path, measures=("locality",), **SMALL)
    assert capsys.readouterr().err.count("measured before") == 4
    assert path.read_bytes() == first


def test_a_call_that_was_stopped_goes_on(tiny_run: Path, tmp_path: Path):
    whole = results.read(measure([tiny_run], PHANTOM, tmp_path / "whole", key=b"k", measures=("locality",), **SMALL))
    state_file = tmp_path / "half" / "anatomy.json"
    path = measure([tiny_run], PHANTOM, tmp_path / "half", key=b"k", measures=("locality",), **SMALL)
    held = json.loads(state_file.read_text())
    del held["done"]["raw_pixels"]  # stopped after its rows were half written
    state_file.write_text(json.dumps(held))
    results.write(path, [row for row in results.read(path) if row.run != "coordinates"][:-3])
    del held["done"]["coordinates"]
    state_file.write_text(json.dumps(held))
    measure([tiny_run], PHANTOM, tmp_path / "half", key=b"k", measures=("locality",), **SMALL)
    assert Counter(results.read(path)) == Counter(whole)


def test_points_of_a_file_take_the_place_of_the_data_sets_own(tiny_run: Path, tmp_path: Path):
    data = open_dataset(PHANTOM)
    rows = [f"{id},{name},{x},{y}" for id in data.ids for name, (y, x) in list(data.landmarks(id).items())[:2]]
    (tmp_path / "points.csv").write_text("\n".join(["image,name,x,y", *rows]))
    some = {**SMALL, "measures": ("landmarks",)}
    given = results.read(measure([tiny_run], PHANTOM, tmp_path / "a", points=str(tmp_path / "points.csv"), **some))
    assert len({row.structure for row in given if row.structure}) == 2


def test_landmarks_may_be_given_by_another_split(tiny_run: Path, tmp_path: Path):
    data = "phantom:?bodies=10&size=64"
    out = tmp_path / "out"
    done = vesalius(
        "anatomy", tiny_run, "--data", data, "--out", out, "--split", "test", "--annotated", "train",
        "--measures", "landmarks", "locality", "--size", 16, "--grid", 3,
    )  # fmt: skip
    assert done.status == 0, done
    assert {row.split for row in results.read(out / "results.jsonl")} == {"test"}
    assert {row.shots for row in results.read(out / "results.jsonl") if row.measure == "landmarks"} == {1, 5, None}


def test_volumes_are_measured_too(tmp_path: Path):
    network = zoo.build("resnet18", 3, 1)
    card = Card(zoo.description("resnet18", network), prepare=[{"name": "Dimensions", "ndim": 3}], unit="HU")
    checkpoint.write(tmp_path / "volume.safetensors", network.state_dict(), card)
    some = {"grid": 2, "size": 8, "composed": 1, "conditions": ("upright", "all")}
    path = measure([tmp_path / "volume.safetensors"], "phantom:?bodies=2&ndim=3&voxel=12", tmp_path / "out", **some)
    assert {row.measure for row in results.read(path)} == set(MEASURES) - OF_VOXELS
    assert select_mm(results.read(path))


def select_mm(rows):
    return [row for row in rows if row.name == "tre_mm" and row.unit == "mm" and row.value > 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no run given"),
        (["RUN", "--data", "phantom:?bodies=1&size=64"], "two at least"),
        (["RUN", "RUN", "--data", PHANTOM, "--out", "OUT"], "cannot be told apart"),
        (["RUN", "--data", PHANTOM, "--split", "tset"], "no split 'tset'"),
        (["RUN", "--data", PHANTOM, "--measures", "localty"], "no measure 'localty'"),
        (["RUN", "--data", PHANTOM, "--side", "2"], "side is 2"),
        (["RUN", "--data", PHANTOM, "--device", "tpu"], "device is 'tpu'"),
        (["RUN", "--data", "folder:EMPTY"], "EMPTY"),
        (["absent", "--data", PHANTOM, "--out", "OUT"], "absent"),
    ],
)
def test_errors_are_one_line(tiny_run: Path, tmp_path: Path, words, said):
    (tmp_path / "EMPTY").mkdir()
    own = {"RUN": str(tiny_run), "OUT": str(tmp_path / "out"), "folder:EMPTY": f"folder:{tmp_path / 'EMPTY'}"}
    chosen = [own.get(word, word) for word in words]
    if "--out" not in chosen and chosen:
        chosen += ["--out", str(tmp_path / "out")]
    done = vesalius("anatomy", *chosen, *(["--data", PHANTOM] if not chosen else []))
    errors = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert done.status in (1, 2), done
    assert len(errors) == 1, done
    assert said in errors[0]


def test_data_without_labels_and_other_settings_are_refused(tiny_run: Path, tmp_path: Path):
    some = {**SMALL, "measures": ("landmarks",)}
    for i in range(2):
        Image.fromarray(np.full((40, 40), 9 * i, np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match="neither landmarks nor masks"):
        measure([tiny_run], str(tmp_path), tmp_path / "a", **some)
    measure([tiny_run], PHANTOM, tmp_path / "b", **some)
    with pytest.raises(SettingError, match="another data"):
        measure([tiny_run], "phantom:?bodies=4&size=64", tmp_path / "b", **some)
    measure([tiny_run], "phantom:?bodies=4&size=64", tmp_path / "b", overwrite=True, **some)
