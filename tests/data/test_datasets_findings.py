"""Data sets of findings and ribs: one contract for all on their fakes, then what is particular to each."""

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from fakes import chestx_det, chestxray14, chexpert, eyepacs, vindr_cxr, vindr_ribcxr
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import overlaps
from vesalius.errors import DataError, SettingError

FAKES = {  # fake -> its first table
    chestxray14: "Data_Entry_2017_v2020.csv",
    eyepacs: "trainLabels.csv",
    vindr_cxr: "annotations/image_labels_train.csv",
    vindr_ribcxr: "data/train/Vindr_RibCXR_train_mask.json",
    chestx_det: "ChestX_Det_train.json",
    chexpert: "train.csv",
}
REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data with real scans is not here")
NAMES = {fake.__name__.rpartition(".")[2]: (fake, table) for fake, table in FAKES.items()}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def root(name, tmp_path):
    return NAMES[name][0].write(tmp_path / "root")


def opened(fake, folder: Path, options: str = "") -> Dataset:
    return open_dataset(f"{fake.__name__.rpartition('.')[2]}:{fake.write(folder / 'root')}{options}")


def check_labels(dataset: Dataset, id: str) -> None:
    labels, shape = dataset.labels(id), dataset.read(id).shape
    assert labels.classes or labels.structures
    assert all(np.isnan(value) or 0 <= value <= 1 for value in labels.classes.values())
    if labels.structures:
        assert labels.mask.dtype == labels.known.dtype == bool
        assert labels.mask.shape == (len(labels.structures), *shape)
        assert labels.known.shape == (len(labels.structures),)
        assert not labels.mask[~labels.known].any()
    for boxes in labels.boxes.values():
        assert boxes.shape == (len(boxes), 4)
        assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_the_contract_of_labelled_data(name, root):
    one, two = open_dataset(f"{name}:{root}"), open_dataset(f"{name}:{root}")
    assert one.ids == two.ids == tuple(sorted(set(one.ids)))
    assert [one.patient(id) for id in one.ids] == [two.read(id).patient for id in two.ids]
    for id in one.ids:
        check_labels(one, id)
    assert len({tuple(one.labels(id).classes) for id in one.ids}) == 1
    splits = one.splits()
    assert len(splits) == 2
    assert sorted(id for part in splits.values() for id in part) == list(one.ids)
    assert overlaps(splits, one.patient) == {}
    assert facts(one).name == name
    assert facts(one).licence


LENIENT = ("chestxray14", "eyepacs")  # so large that a part of them is the rule: notes say what is absent


def test_an_absent_image_is_one_line_that_names_the_table(name, root):
    whole = open_dataset(f"{name}:{root}")
    whole.path(whole.ids[0]).unlink()
    if name not in LENIENT:
        with pytest.raises(DataError, match=rf"{NAMES[name][1]}: names '{whole.ids[0]}', which is not here") as error:
            open_dataset(f"{name}:{root}")
        assert "\n" not in str(error.value)
    part = open_dataset(f"{name}:{root}" + "?partial=yes" * (name not in LENIENT))
    assert part.ids == whole.ids[1:]
    assert any("partial download" in note for note in part.notes)
    assert {id for ids in part.splits().values() for id in ids} == set(part.ids)


def test_no_image_at_all_is_one_line_that_names_the_folder(name, root):
    whole = open_dataset(f"{name}:{root}")
    for id in whole.ids[1:]:
        whole.path(id).unlink()
    whole.path(whole.ids[0]).rename(whole.path(whole.ids[0]).with_name("stray.png"))
    with pytest.raises(DataError, match=rf"^{root}: (none of the images|no image is named)") as error:
        open_dataset(f"{name}:{root}" + "?partial=yes" * (name not in LENIENT))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["emptied", "replaced", "cut", "binary"])
def test_a_broken_table_is_one_line_that_names_it(name, root, damage):
    table = root / NAMES[name][1]
    whole = table.read_bytes()
    cut = whole[:-9] if table.suffix == ".json" else whole[: whole.rstrip().rindex(b"\n") + 4]  # in the last row
    damaged = {"emptied": b"", "replaced": b"nonsense\n", "cut": cut, "binary": b"\xff\xfe\0\x81" * 9}
    table.write_bytes(damaged[damage])
    with pytest.raises(DataError, match=re.escape(table.name)) as error:
        labels_of_all(open_dataset(f"{name}:{root}"))
    assert "\n" not in str(error.value)


def labels_of_all(dataset: Dataset) -> None:
    for id in dataset.ids:
        dataset.labels(id)


def test_without_its_tables_a_dataset_says_which(name, root):
    for table in [*root.rglob("*.csv"), *root.rglob("*.json")]:
        table.unlink()
    first = NAMES[name][1].partition("2017")[0]
    wanted = {"vindr_ribcxr": "RibCXR_train_mask.json"}.get(name, first.rpartition("/")[2])
    with pytest.raises(DataError, match=re.escape(wanted)):
        open_dataset(f"{name}:{root}")


@pytest.mark.parametrize(
    ("fake", "options", "message"),
    [
        (chestxray14, "?task=some", "Did|Tasks: findings, any"),
        (chestxray14, "?test_patients=a.txt&val_list=b.txt", "both"),
        (vindr_cxr, "?consensus=most", "majority"),
        (vindr_cxr, "?task=locl", "Did you mean 'local'"),
        (chexpert, "?uncertain=one", "Did you mean 'ones'"),
        (chexpert, "?blank=x", "zero, nan"),
    ],
)
def test_an_impossible_option_lists_the_possible_ones(tmp_path, fake, options, message):
    with pytest.raises(SettingError, match=message):
        opened(fake, tmp_path, options)


def test_chestx_det_findings_overlap_and_merge_into_one(tmp_path):
    labels = opened(chestx_det, tmp_path).labels("101")
    rows = dict(zip(labels.structures, labels.mask, strict=True))
    assert rows["Effusion"].sum() == 20 * 20 + 6 * 4
    assert (rows["Effusion"] & rows["Consolidation"]).sum() == 10 * 10
    assert labels.boxes["Effusion"].tolist() == [[30, 10, 49, 29], [5, 50, 8, 55]]
    assert {name for name, value in labels.classes.items() if value} == {"Effusion", "Consolidation"}
    merged = opened(chestx_det, tmp_path / "merged", "?merge=true").labels("101")
    assert (merged.mask == labels.mask.any(axis=0)).all()
    assert (merged.structures, dict(merged.classes)) == (("disease",), {"disease": 1.0})


def test_chestx_det_without_findings_is_known_to_be_empty(tmp_path):
    for options in ("", "?merge=true"):
        labels = opened(chestx_det, tmp_path / (options[1:6] or "all"), options).labels("102")
        assert labels.known.all()
        assert not labels.mask.any()
        assert set(labels.classes.values()) == {0.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"syms": ["Mass"]}, "do not belong together"),
        ({"syms": ["Moss"], "boxes": [[1, 2, 3, 4]], "polygons": [[[1, 2]]]}, "unknown finding 'Moss'.*'Mass'"),
        ({"syms": ["Mass"], "boxes": [[1, 2, 3]], "polygons": [[[1, 2]]]}, "do not belong together"),
        ({"file_name": "104.png"}, "104 a second time"),
    ],
)
def test_chestx_det_entries_that_contradict_themselves(tmp_path, change, message):
    root = chestx_det.write(tmp_path / "root")
    table = root / "ChestX_Det_test.json"
    first, last = json.loads(table.read_text())
    table.write_text(json.dumps([first, {**last, **change}]))
    with pytest.raises(DataError, match=rf"ChestX_Det_test\.json: .*{message}"):
        open_dataset(f"chestx_det:{root}").labels("105")


@pytest.mark.parametrize(("uncertain", "value"), [("ignore", np.nan), ("zeros", 0.0), ("ones", 1.0)])
def test_chexpert_uncertain_labels_follow_the_policy(tmp_path, uncertain, value):
    classes = (
        opened(chexpert, tmp_path, f"?uncertain={uncertain}").labels("patient00002/study1/view1_frontal.jpg").classes
    )
    assert np.array_equal(classes["Edema"], value, equal_nan=True)
    assert (classes["Lung Opacity"], classes["Fracture"], classes["Pneumonia"]) == (1, 1, 0)


def test_chexpert_soft_labels_depend_on_seed_image_and_finding_alone(tmp_path):
    front, side = "patient00002/study1/view1_frontal.jpg", "patient00002/study1/view2_lateral.jpg"
    root = chexpert.write(tmp_path / "root")

    def drawn(id: str, options: str = "") -> np.ndarray:
        data = open_dataset(f"chexpert:{root}?uncertain=u_random&task=competition{options}")
        return np.array(list(data.labels(id).classes.values()))

    assert ((drawn(front) >= 0.55) & (drawn(front) <= 0.85)).all()  # all five are uncertain
    assert len({*drawn(front), *drawn(side), *drawn(front, "&seed=1")}) == 15
    assert (drawn(front, "&frontal=true") == drawn(front)).all()


def test_chexpert_blank_is_zero_or_unlabelled(tmp_path):
    id = "patient00001/study1/view1_frontal.jpg"
    zero, nan = (opened(chexpert, tmp_path / how, f"?blank={how}").labels(id).classes for how in ("zero", "nan"))
    unlabelled = {name for name, value in nan.items() if np.isnan(value)}
    assert len(unlabelled) == 11  # ten blanks and one uncertain
    assert {name for name in unlabelled if zero[name] == 0} == unlabelled - {"Atelectasis"}


def test_chexpert_frontal_patients_and_what_is_known_of_them(tmp_path):
    data = opened(chexpert, tmp_path, "?frontal=true")
    assert [data.patient(id) for id in data.ids] == ["patient00001", "patient00002", "patient64541", "patient64542"]
    assert data.notes == ()
    assert data.read(data.ids[1]).meta == {"view": "PA", "sex": "M", "age_band": "90+"}
    assert {name: len(part) for name, part in data.splits().items()} == {"train": 2, "valid": 2}


def test_chexpert_images_are_found_in_the_batches_of_the_full_download(tmp_path):
    root = chexpert.write(tmp_path / "root")
    (root / "train").rename(root / "CheXpert-v1.0 batch 2 (train 1)")
    data = open_dataset(f"chexpert:{root}")
    assert len(data.ids) == len(chexpert.ROWS)
    assert data.read(data.ids[0]).shape == (48, 40)


def test_chestxray14_any_finding_is_the_greatest_of_fourteen(tmp_path):
    all14, any1 = (opened(chestxray14, tmp_path / task, f"?task={task}") for task in ("findings", "any"))
    assert len(all14.labels(all14.ids[0]).classes) == 14
    for id in all14.ids:
        assert dict(any1.labels(id).classes) == {"any finding": max(all14.labels(id).classes.values())}


def test_chestxray14_lists_of_the_group_take_the_place_of_train_val(tmp_path):
    root = chestxray14.write(tmp_path / "root")
    (root / "tr.txt").write_text("00000001_000.png 0 1 0\n00000001_001.png 1 0 0\n")
    (root / "va.txt").write_text("00000002_000.png 0 0 0\n")
    data = open_dataset(f"chestxray14:{root}?train_list=tr.txt&val_list=va.txt")
    assert data.splits() == {"train": data.ids[:2], "val": data.ids[2:3], "test": data.ids[3:]}
    (root / "va.txt").write_text("00000002_00.png 0 0 0\n")
    with pytest.raises(DataError, match=r"va\.txt: lists '00000002_00\.png'.*Did you mean"):
        data.splits()


def test_chestxray14_patients_may_name_the_test(tmp_path):
    root = chestxray14.write(tmp_path / "root")
    (root / "who.txt").write_text("1\n")
    data = open_dataset(f"chestxray14:{root}?test_patients=who.txt")
    assert data.splits() == {"train": data.ids[2:], "test": data.ids[:2]}


def test_eyepacs_grades_are_five_classes_of_which_one_holds(tmp_path):
    data = opened(eyepacs, tmp_path)
    for id, level in eyepacs.LEVELS.items():
        assert np.argmax(list(data.labels(id).classes.values())) == level
        assert sum(data.labels(id).classes.values()) == 1


def test_the_head_of_a_dataset_says_what_its_facts_say(name):
    module = import_module(f"vesalius.data.datasets.{name}")
    told = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d", module.__doc__)]
    assert module.FACTS.images in {a + b for a in (0, *told) for b in (0, *told)}  # given, or as the sum of two parts


@real
def test_the_real_radiographs_divide_by_the_listed_patients():
    lists = REAL / "splits" / "nih_test_patients.txt"
    options = f"table=labels.csv&boxes=boxes_1024px.csv&task=any&test_patients={lists}"
    data = open_dataset(f"chestxray14:{REAL / 'cxr' / 'nih'}?{options}")
    assert {name: len(part) for name, part in data.splits().items()} == {"train": 999 - 203, "test": 203}
    assert overlaps(data.splits(), data.patient) == {}
    assert {data.labels(id).classes["any finding"] for id in data.splits()["test"]} == {0.0, 1.0}
