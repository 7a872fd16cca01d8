import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import chestxray14, eyepacs, folder, wingspan
from vesalius.data.datasets import Dataset, facts, names, open_dataset
from vesalius.data.splits import exclude, overlaps
from vesalius.errors import DataError, SettingError

FAKES = {module.__name__.rpartition(".")[2]: module for module in (chestxray14, eyepacs, folder, wingspan)}
REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data with real scans is not here")


@pytest.fixture(params=FAKES)
def dataset(request, tmp_path):
    return open_dataset(f"{request.param}:{FAKES[request.param].write(tmp_path / 'root')}")


def test_every_dataset_keeps_the_contract(dataset):
    assert isinstance(dataset, Dataset)
    assert dataset.ids == tuple(sorted(set(dataset.ids)))
    for id in dataset.ids:
        scan = dataset.read(id)
        assert (scan.id, scan.patient, scan.ndim) == (id, dataset.patient(id), facts(dataset).ndim)
        assert dataset.path(id).is_file()
        dataset.labels(id)


def test_official_splits_hold_ids_and_share_no_patient(dataset):
    splits = dataset.splits()
    assert all(set(part) <= set(dataset.ids) for part in splits.values())
    assert overlaps(splits, dataset.patient) == {}


def test_content_follows_the_bytes_and_survives_another_process(dataset):
    a, b = dataset.ids[:2]
    assert dataset.content(a) != dataset.content(b)
    shutil.copy(dataset.path(a), dataset.path(b))
    assert pickle.loads(pickle.dumps(dataset)).content(b) == dataset.content(a)


def test_an_id_that_is_not_there_is_an_error_with_near_names(dataset):
    with pytest.raises(DataError, match=r"Did you mean"):
        dataset.read(dataset.ids[0] + "x")


def test_the_folder_is_the_registry():
    assert set(FAKES) <= set(names())
    with pytest.raises(SettingError, match="chestxray14"):
        open_dataset("chestxray:somewhere")


def test_a_dotted_module_of_the_users_own_is_a_dataset(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "scans.py").write_text("from vesalius.data.datasets.folder import FACTS, Dataset\n")
    monkeypatch.syspath_prepend(tmp_path)
    root = folder.write(tmp_path / "root")
    assert open_dataset(f"mine.scans:{root}").ids == open_dataset(str(root)).ids
    with pytest.raises(SettingError, match=r"no module 'mine\.absent'"):
        open_dataset(f"mine.absent:{root}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?patient_regx=x", "Did you mean 'patient_regex'"),
        ("?patient_regex", "option=value"),
        ("?patient_regex=p...", "no group"),
        ("?patient_regex=(", "patient_regex"),
        ("?patient_regex=p(..)&manifest=manifest.csv", "both"),
        ("?root=x", "no option 'root'"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path, query, message):
    with pytest.raises(SettingError, match=message):
        open_dataset(f"{folder.write(tmp_path / 'root')}{query}")


def test_options_have_types(tmp_path, monkeypatch):
    fields = "n: int = 1\n    x: float = 1.0\n    on: bool = False\n    parts: tuple[int, ...] = ()\n    few: int | None = None"
    body = f"from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Dataset:\n    {fields}\n    ids = ()\n"
    (tmp_path / "typed_").mkdir()
    (tmp_path / "typed_" / "one.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    made = open_dataset("typed_.one:?n=4&x=2.5&on=true&parts=1,2&few=3")
    assert (made.n, made.x, made.on, made.parts, made.few) == (4, 2.5, True, (1, 2), 3)
    for wrong in ("n=4.5", "n=four", "x=a", "on=maybe", "parts=1,b", "few=x"):
        with pytest.raises(SettingError, match=wrong.partition("=")[0]):
            open_dataset(f"typed_.one:?{wrong}")
    with pytest.raises(SettingError, match="takes no path"):
        open_dataset("typed_.one:somewhere")


def test_nothing_there_is_an_error_that_names_the_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no images: looked for \.png"):
        open_dataset(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(str(tmp_path / "absent"))
    (tmp_path / "file.png").touch()
    with pytest.raises(DataError, match="a file, not a folder"):
        open_dataset(str(tmp_path / "file.png"))


def test_hidden_files_and_archive_leftovers_are_no_images(tmp_path):
    data = open_dataset(str(folder.write(tmp_path / "root")))
    assert data.ids == tuple(f"p00{patient}/a{image}.png" for patient in range(3) for image in range(2))
    assert len({data.patient(id) for id in data.ids}) == 6
    assert "Patients are unknown" in data.notes[0]


def test_regex_and_manifest_name_the_same_patients(tmp_path):
    root = folder.write(tmp_path / "root")
    by_regex, by_manifest = (
        open_dataset(f"{root}?{how}") for how in (r"patient_regex=^p(\d+)/", "manifest=manifest.csv")
    )
    assert [by_regex.patient(id) for id in by_regex.ids] == [by_manifest.patient(id) for id in by_manifest.ids]
    assert by_manifest.notes == ()


def test_a_file_that_the_regex_does_not_match_is_an_error(tmp_path):
    root = folder.write(tmp_path / "root")
    shutil.copy(root / "p000/a0.png", root / "stray.png")
    with pytest.raises(DataError, match=r"1 of 7 files.*stray\.png"):
        open_dataset(f"{root}?patient_regex=^p(..)")


@pytest.mark.parametrize(
    "name", ["p000/a0.png", "p000/a0", "p000/a0.dcm", "./p000/a0.png", "p000\\a0.png", "set/p000/a0.jpg"]
)
def test_a_row_names_its_file_by_path_whatever_the_suffix(tmp_path, name):
    root = folder.write(tmp_path / "root")
    (root / "m.csv").write_text(f"Image Index,Patient ID\n{name},007\n")
    data = open_dataset(f"{root}?manifest=m.csv")
    assert [(id, data.patient(id)) for id in data.ids] == [("p000/a0.png", "007")]
    assert data.notes[0].startswith("5 files have no row")


def test_a_row_names_its_file_by_name_unless_two_bear_it(tmp_path):
    root = folder.write(tmp_path / "root")
    shutil.copy(root / "p000/a0.png", root / "p000/only.png")
    (root / "m.csv").write_text("image_id;patient_id\nonly;1\na0;2\nabsent;3\n;4\nonly.jpg;\n")
    data = open_dataset(f"{root}?manifest=m.csv")
    assert data.ids == ("p000/only.png",)
    assert [note.split(" ")[0] for note in data.notes] == ["6", "2", "1", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image,person\np000/a0.png,1\n", "no column that looks like 'patient'.*Columns: image, person"),
        ("image,patient\nx.png,1\n", "no row of column 'image'"),
        ("image,patient\np000/a0.png,1\np000/a0.png,2\n", "two patients"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(tmp_path, text, message):
    root = folder.write(tmp_path / "root")
    (root / "m.csv").write_text(text)
    with pytest.raises(DataError, match=rf"m\.csv.*{message}"):
        open_dataset(f"{root}?manifest=m.csv")
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        open_dataset(f"{root}?manifest=absent.csv")


def test_chestxray14_reads_its_table(tmp_path):
    data = open_dataset(f"chestxray14:{chestxray14.write(tmp_path / 'root')}")
    assert data.splits() == {"train_val": data.ids[:3], "test": data.ids[3:]}
    assert [data.patient(id) for id in data.ids] == ["1", "1", "2", "3"]
    assert data.notes == ("1 images of the table are absent (a partial download).",)
    found = data.labels(data.ids[1]).classes
    assert [name for name, value in found.items() if value == 1] == ["Cardiomegaly", "Emphysema"]
    assert len(found) == 14
    assert sum(data.labels(data.ids[2]).classes.values()) == 0


def test_chestxray14_spacing_undoes_the_squeeze(tmp_path):
    data = open_dataset(f"chestxray14:{chestxray14.write(tmp_path / 'root', side=64)}")
    scan = data.read("00000001_001.png")
    height, width = np.array(scan.spacing) * scan.shape
    assert (height, width) == pytest.approx((2048 * 0.168, 2500 * 0.168))
    assert scan.meta["view"] == "AP"


def test_chestxray14_ages_become_bands_and_slips_are_left_out(tmp_path):
    data = open_dataset(f"chestxray14:{chestxray14.write(tmp_path / 'root')}")
    assert [data.read(id).meta.get("age_band") for id in data.ids] == ["50-59", "50-59", None, "70-79"]


def test_chestxray14_boxes_are_in_pixels_of_the_file(tmp_path):
    data = open_dataset(f"chestxray14:{chestxray14.write(tmp_path / 'root', side=64)}")
    (box,) = data.labels("00000001_000.png").boxes["Infiltration"] * (1024 / 64)
    assert box.tolist() == [512, 256, 576, 384]  # top, left, bottom, right


def test_chestxray14_without_table_or_lists(tmp_path):
    root = chestxray14.write(tmp_path / "root")
    (root / "test_list.txt").unlink()
    assert open_dataset(f"chestxray14:{root}").splits() == {}
    (root / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(DataError, match=r"Data_Entry_2017\*\.csv"):
        open_dataset(f"chestxray14:{root}")


def test_eyepacs_pairs_eyes_and_grades_them(tmp_path):
    data = open_dataset(f"eyepacs:{eyepacs.write(tmp_path / 'root')}")
    assert {data.patient(id) for id in data.ids} == {"1", "10", "13"}
    assert data.splits() == {"train": tuple(sorted(eyepacs.LEVELS)), "test": eyepacs.TEST}
    assert data.labels("13_right").classes["proliferative"] == 1
    assert sum(data.labels("13_left").classes.values()) == 1
    assert all(np.isnan(value) for value in data.labels("1_left").classes.values())


def test_wingspan_unpacks_bits_and_turns_points(tmp_path):
    root = wingspan.write(tmp_path / "root")
    labels = open_dataset(f"wingspan:{root}").labels("wingspan_003")
    for plane, box in zip(labels.mask, (wingspan.LEFT, wingspan.RIGHT, wingspan.HEART), strict=True):
        expected = np.zeros_like(plane)
        expected[box] = True
        assert (plane == expected).all()
    assert len(labels.landmarks) == 8
    assert labels.landmarks["H_top"].tolist() == [23, 33]  # (y, x) of the fourth point of the third image


def test_wingspan_split_and_ratio(tmp_path):
    root = wingspan.write(tmp_path / "root")
    data = open_dataset(f"wingspan:{root}?test_list=test.txt")
    assert data.splits() == {"train": ("wingspan_001", "wingspan_003", "wingspan_004"), "test": ("wingspan_002",)}
    assert np.isnan(data.ctr("wingspan_001"))
    assert data.ctr("wingspan_002") == 0.5
    (root / "test.txt").write_text("wingspan_02\n")
    with pytest.raises(DataError, match="Did you mean 'wingspan_002'"):
        data.splits()


def test_a_mask_that_is_no_mask_is_named(tmp_path):
    root = wingspan.write(tmp_path / "root")
    Image.new("RGB", (96, 96)).save(root / "masks" / "wingspan_001.png")
    with pytest.raises(DataError, match=r"wingspan_001\.png.*not grey"):
        open_dataset(f"wingspan:{root}").labels("wingspan_001")


@real
def test_the_real_radiographs_and_their_patients():
    for spec, images, patients in (
        ("nih?manifest=labels.csv", 999, 682),
        ("hannover?manifest=metadata.csv", 243, 71),
    ):
        data = open_dataset(f"{REAL / 'cxr'}/{spec}")
        assert (len(data.ids), len({data.patient(id) for id in data.ids}), data.notes) == (images, patients, ())
    nih = open_dataset(f"chestxray14:{REAL / 'cxr' / 'nih'}?table=labels.csv&boxes=boxes_1024px.csv")
    kept = exclude(nih.ids, nih.patient, REAL / "splits" / "nih_test_patients.txt")
    assert len(kept) == 999 - 203


@real
def test_the_real_wingspan():
    data = open_dataset(f"wingspan:{REAL / 'cxr' / 'wingspan'}?test_list={REAL / 'splits' / 'wingspan_test.txt'}")
    assert {name: len(part) for name, part in data.splits().items()} == {"train": 199, "test": 60}
    labels = data.labels("wingspan_001")
    assert labels.landmarks["H_bottom"].tolist() == [274, 341]
    left, right, _ = (np.argwhere(plane).mean(axis=0) for plane in labels.mask)
    assert right[1] < left[1]  # the patient's right lung is on the image's left
