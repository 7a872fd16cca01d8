"""Patients of the test who were pretrained on, and images that are trained and tested on: stopped, or stamped."""

import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes.command import vesalius
from vesalius import checkpoint, results
from vesalius.chance import generator
from vesalius.data import sidecar
from vesalius.data.cache import key_hash
from vesalius.data.datasets import open_dataset
from vesalius.errors import CheckpointError, DataError
from vesalius.evaluate.leakage import Guard, copied
from vesalius.features.subjects import Subject

pytestmark = pytest.mark.usefixtures("own_cache")
PHANTOM = "phantom:?bodies=20&size=64"  # bodies 4, 9, 14 and 19 are for testing
SPLITS = ("train", "test")
QUICK = ["--shots", 2, "--draws", 1, "--steps", 1, "--batch", 2, "--size", 32, "--structures", "heart"]
BODIES = [f"body{k:04}" for k in range(10)]
Pretrained = Callable[..., Path]


@pytest.fixture
def pretrained(tiny_run: Path, tmp_path: Path) -> Pretrained:
    """A run's folder as if it had been pretrained on these patients of these data sets, under a key of its own."""

    def make(name: str, patients: Collection[str], *sources: str, start: Path | None = None) -> Path:
        tensors, card = checkpoint.read(tiny_run / "encoder.safetensors")
        data = [{**card.data[0], "dataset": source} for source in sources]
        path, key = tmp_path / name / "encoder.safetensors", secrets.token_bytes(32)
        checkpoint.write(path, tensors, replace(card, data=data, parent=start and start.name))
        hashed = [key_hash(key, patient) for patient in patients]
        parts = [{"dataset": source, "train": hashed[1:], "watch": hashed[:1]} for source in sources]
        sidecar = {"key": key.hex(), "sources": parts}
        (path.parent / "patients.json").write_text(json.dumps(sidecar))
        (path.parent / "config.json").write_text(json.dumps({"start": str(start or "")}))
        return path.parent

    return make


def stamps(runs: dict[str, Path], spec: str = PHANTOM, allowed: bool = True) -> dict[str, str]:
    data = open_dataset(spec)
    guard = Guard(runs, data, data.splits()["test"], SPLITS, allowed)
    return {name: guard.stamp(name, [], []) for name in (*runs, "scratch")}


def subject(pixels) -> Subject:
    return Subject("", "", np.asarray(pixels, np.uint8)[None], "0..1", {})


def test_patients_of_pretraining_stop_it_before_anything_is_trained(pretrained: Pretrained, tmp_path: Path):
    run = pretrained("of_phantom", BODIES, "phantom")
    done = vesalius("evaluate", run, "--data", PHANTOM, "--out", tmp_path, *QUICK)
    assert done.status == 1
    assert "2 of 4 patients of test were in its pretraining" in done.error
    assert "--allow-leak" in done.error
    assert not (tmp_path / results.FILE).exists()


def test_overruled_every_row_says_it_and_scratch_has_nothing_to_say(pretrained: Pretrained, tmp_path: Path):
    run = pretrained("of_phantom", BODIES, "phantom")
    few = "phantom:?bodies=5&size=64"
    words = ["evaluate", run, "scratch", "--data", few, "--out", tmp_path, *QUICK, "--allow-leak"]
    assert vesalius(*words).status == 0
    rows = results.read(tmp_path / results.FILE)
    assert {(row.run, row.leak) for row in rows} == {("of_phantom", "pretraining: 1 patients"), ("scratch", "")}


def test_a_sidecar_without_data_sets_counts_for_all_of_them(pretrained: Pretrained):
    """As earlier versions wrote it."""
    run = pretrained("older", BODIES, "phantom", "drive")
    sidecar = json.loads((run / "patients.json").read_text())
    flat = {"key": sidecar["key"], **{part: sidecar["sources"][0][part] for part in ("train", "watch")}}
    (run / "patients.json").write_text(json.dumps(flat))
    assert stamps({"a": run})["a"] == "pretraining: 2 patients"


def test_a_name_counts_in_its_own_data_set_alone(pretrained: Pretrained):
    """The number of a photograph of DRIVE is not that of a body."""
    run = pretrained("mixed", BODIES, "drive", "phantom")
    sidecar = json.loads((run / "patients.json").read_text())
    sidecar["sources"][1].update(train=[], watch=[])
    (run / "patients.json").write_text(json.dumps(sidecar))
    assert stamps({"a": run}) == {"a": "", "scratch": ""}


def test_leading_zeros_hide_no_patient_from_images_without_a_data_set(pretrained: Pretrained, tmp_path: Path):
    """A table says 7 where names of files say 0007."""
    (tmp_path / "folder").mkdir()
    for number in range(2):
        Image.fromarray(np.full((20, 20), 40 * number, np.uint8)).save(tmp_path / "folder" / f"000{7 + number}_a.png")
    spec = f"folder:{tmp_path / 'folder'}?patient_regex=(\\d+)_"
    data = open_dataset(spec)
    for known, leaks in ((["7"], 1), (["0007", "0008"], 2), (["70"], 0)):
        guard = Guard({"a": pretrained("zeros" + known[0], known, "manifest")}, data, data.ids, SPLITS, allowed=True)
        assert guard.stamp("a", [], []) == (f"pretraining: {leaks} patients" if leaks else "")


def test_a_sidecar_knows_both_spellings_and_grows(tmp_path: Path):
    key = sidecar.key(tmp_path)

    def part(name: str, *patients: str) -> dict:
        return {"dataset": name, "train": sidecar.hashes(key, patients), "watch": []}

    first = {"key": key.hex(), "sources": [part("a", "0007", "000")]}
    assert {key_hash(key, name) for name in ("0007", "7", "000", "0")} == set(first["sources"][0]["train"])
    (tmp_path / "patients.json").write_text(json.dumps(first))
    assert sidecar.key(tmp_path) == key
    later = sidecar.united(sidecar.read(tmp_path), {"key": key.hex(), "sources": [part("a", "8"), part("b", "9")]})
    assert later["sources"] == [part("a", "8", "0007", "000"), part("b", "9")]
    assert sidecar.united(later, first)["sources"] == later["sources"]
    flat = {"key": key.hex(), "train": sidecar.hashes(key, ["5"]), "watch": []}  # as earlier versions wrote it
    assert sidecar.united(flat, first)["sources"] == [*first["sources"], part("", "5")]
    (tmp_path / "patients.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"patients\.json"):
        sidecar.key(tmp_path)


def test_a_list_of_excluded_patients_that_grows_later_hides_nobody(tmp_path: Path):
    listed = tmp_path / "out.txt"
    listed.write_text("body0003\n")
    words = ["pretrain", "moco", PHANTOM, "--out", tmp_path / "run", "--exclude-patients", listed, "--size", 64]
    words += "--batch 4 --method.size 32 --method.bank 8 --method.groups 1 --holdout 0 --threads 1".split()
    assert vesalius(*words, "--max-steps", 1).status == 0
    listed.write_text("body0003\nbody0004\nbody0009\n")
    assert vesalius(*words, "--max-steps", 2, "--resume").status == 0
    assert stamps({"run": tmp_path / "run"})["run"] == "pretraining: 4 patients"


def test_other_bodies_are_no_leak_and_nothing_is_said(pretrained: Pretrained, capsys):
    run = pretrained("of_phantom", BODIES, "phantom")
    assert set(stamps({"a": run}, "phantom:?bodies=10&first=1000", allowed=False).values()) == {""}
    assert capsys.readouterr().err == ""


def test_probing_is_guarded_too(tiny_run: Path, tmp_path: Path):
    rng = generator(3)  # the run's own sidecar: 000 to 007, of a folder
    lines = ["image,patient,split,bright"]
    for i in range(12):
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i + 6:03},{'test' if i < 4 else 'train'},{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ["evaluate", tiny_run, "--data", f"manifest:{tmp_path}", "--protocol", "linear", "--size", 32]
    refused = vesalius(*words, "--out", tmp_path / "out")
    assert "2 of 4 patients of test go by names that were in its pretraining" in refused.error
    assert vesalius(*words, "--out", tmp_path / "out", "--allow-leak").status == 0
    assert {row.leak for row in results.read(tmp_path / "out" / results.FILE)} == {"pretraining: 2 patients"}


def test_runs_with_keys_of_their_own(pretrained: Pretrained):
    a = pretrained("a", ["body0004", "body0003"], "phantom")
    b = pretrained("b", ["body0004", "body0009", "body0014"], "phantom")
    c = pretrained("c", ["body0000"], "phantom")
    expected = {"a": "pretraining: 1 patients", "b": "pretraining: 3 patients", "c": "", "scratch": ""}
    assert stamps({"a": a, "b": b, "c": c}) == expected


def test_equal_names_in_two_published_data_sets_are_chance(pretrained: Pretrained):
    run = pretrained("run", ["body0004"], "drive")
    assert stamps({"run": run}, allowed=False)["run"] == ""


def test_patients_of_the_run_that_it_was_started_from_count(pretrained: Pretrained):
    first = pretrained("first", ["body0004", "body0009"], "phantom")
    second = pretrained("second", ["body0009", "body0014"], "phantom", start=first)
    assert stamps({"second": second})["second"] == "pretraining: 3 patients"


def test_a_start_that_is_gone_or_itself_is_said(pretrained: Pretrained, tmp_path: Path, capsys):
    for start in (tmp_path / "gone", tmp_path / "run"):
        assert stamps({"run": pretrained("run", ["a"], "phantom", start=start)}, allowed=False)["run"] == ""
        assert f"cannot be checked: the patients.json of {start}" in capsys.readouterr().err


def test_file_names_of_a_folder_whose_patients_were_unknown(pretrained: Pretrained, tmp_path: Path):
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    Image.new("L", (8, 8)).save(images / "x.png")
    (tmp_path / "data" / "labels.csv").write_text("image,patient,split,sick\nimages/x.png,7,test,1\n")
    for name in ("x.png", "images/x.png", "data/images/x.png"):
        run = pretrained("run", [name, "other.png"], "folder")
        assert stamps({"run": run}, f"manifest:{tmp_path}/data")["run"] == "pretraining: 1 patients"
    assert stamps({"run": pretrained("run", ["y/x.png"], "folder")}, f"manifest:{tmp_path}/data")["run"] == ""


def test_weights_without_their_sidecar_cannot_be_checked(pretrained: Pretrained, tmp_path: Path, capsys):
    run = pretrained("run", ["body0004"], "phantom")
    assert stamps({"a": run / "encoder.safetensors"})["a"] == "pretraining: 1 patients"
    bare = (run / "encoder.safetensors").rename(run / "exported.safetensors")
    capsys.readouterr()
    assert stamps({"a": bare}, allowed=False)["a"] == ""
    assert "cannot be checked" in capsys.readouterr().err
    (run / "patients.json").rename(tmp_path / "moved.json")
    assert stamps({"a": run}, allowed=False)["a"] == ""
    assert "cannot be checked" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [b"{", b"\xff", b"[]", b"{}", b'{"key": "no hex", "train": [], "watch": []}', b'{"key": "", "train": [], "watch": []}',
     b'{"key": "00", "train": [1], "watch": []}', b'{"key": "00", "train": [[]], "watch": []}',
     b'{"key": "00", "train": 3, "watch": []}'],
)  # fmt: skip
def test_a_broken_sidecar_is_one_line_that_names_it(pretrained: Pretrained, content: bytes):
    run = pretrained("run", ["a"], "phantom")
    (run / "patients.json").write_bytes(content)
    with pytest.raises(DataError, match=r"patients\.json") as error:
        stamps({"run": run})
    assert "\n" not in str(error.value)


def test_patients_in_both_splits_cannot_be_overruled(tiny_run: Path, tmp_path: Path):
    rows = ["image,patient,split,sick"]
    for i, split in enumerate(("train", "train", "test")):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{i // 2 if i < 2 else 0},{split},{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    words = ["--data", f"manifest:{tmp_path}", "--out", tmp_path / "out", "--protocol", "linear", "--allow-leak"]
    assert "1 patients are in both train and test" in vesalius("evaluate", tiny_run, *words).error


def test_copies_are_counted_and_alike_ones_apart():
    images = generator(0).integers(0, 200, (5, 16, 16)).repeat(4, 1).repeat(4, 2)
    flat = np.full((64, 64), 9)
    pool = [subject(image) for image in (*images[:3], flat)]
    alike = np.round(images[1] * 0.9 + 5)
    assert copied(pool, [subject(image) for image in (images[0], alike, images[3], images[4], flat)]) == (1, 1)
    assert copied(pool, [subject(images[0]), subject(images[0])]) == (2, 0)
    assert copied(pool, []) == copied([], pool) == (0, 0)


def test_copies_stop_it_and_alike_ones_warn(capsys):
    images = generator(1).integers(0, 200, (2, 64, 64))
    data = open_dataset(PHANTOM)
    pool, copy, alike = ([subject(image)] for image in (images[0], images[0], np.round(images[0] * 0.9)))
    with pytest.raises(DataError, match=r"1 images of test are in train too\. Mend the splits"):
        Guard({}, data, [], SPLITS).stamp("run", pool, copy)
    assert Guard({}, data, [], SPLITS, True).stamp("run", pool, copy) == "copies: 1 images"
    capsys.readouterr()
    assert Guard({}, data, [], SPLITS).stamp("run", pool, alike) == ""
    assert "1 of 1 images of test look like images of train" in capsys.readouterr().err


def test_images_of_one_radiograph_under_two_names_are_said(pretrained: Pretrained, tmp_path: Path, capsys):
    from fakes import chestx_det

    chestx_det.write(tmp_path / "det")
    stamps({"run": pretrained("run", ["a"], "chestxray14")}, f"chestx_det:{tmp_path}/det")
    assert "share images under other names" in capsys.readouterr().err
