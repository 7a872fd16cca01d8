"""Data sets with labels to transfer to: one contract for all, on fakes in their real layout, then what each says."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from fakes import chase_db1, drive, kermany, manifest, scr_jsrt, shenzhen, siim_acr
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.splits import overlaps
from vesalius.errors import DataError, SettingError

FAKES: dict[str, ModuleType] = {
    fake.__name__.rpartition(".")[2]: fake
    for fake in (chase_db1, drive, kermany, manifest, scr_jsrt, shenzhen, siim_acr)
}
REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data with real scans is not here")
Break = Callable[[Path], object]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One fake of each, for tests that only read."""
    return {name: fake.write(tmp_path_factory.mktemp(name) / "root") for name, fake in FAKES.items()}


def opened(name: str, root: Path, query: str | None = None) -> Dataset:
    return open_dataset(f"{name}:{root}{getattr(FAKES[name], 'QUERY', '') if query is None else query}")


def look_at_all(name: str, root: Path, query: str) -> None:
    data = opened(name, root, query)
    data.splits()
    for id in data.ids:
        data.labels(id)


def edit(file: str, old: str, new: str) -> Break:
    """Rewrites text of a table."""
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


def remove(file: str) -> Break:
    return lambda root: (root / file).unlink()


def repaint(file: str, pixels: np.ndarray) -> Break:
    return lambda root: Image.fromarray(pixels).save(root / file)


@pytest.mark.parametrize("name", FAKES)
def test_every_labelled_dataset_keeps_the_contract(roots: dict[str, Path], name: str) -> None:
    data, fake = opened(name, roots[name]), FAKES[name]
    published = facts(data)
    assert published is not None
    assert (published.name, published.ndim) == (name, 2)
    assert isinstance(data, Dataset)
    assert data.ids == opened(name, roots[name]).ids == tuple(sorted(set(data.ids)))
    patients = {id: data.patient(id) for id in data.ids}
    assert (len(data.ids), len(set(patients.values()))) == (fake.IMAGES, fake.PATIENTS)
    assert patients == {id: pickle.loads(pickle.dumps(data)).patient(id) for id in data.ids}
    for id in data.ids:
        scan, labels = data.read(id), data.labels(id)
        assert (scan.id, scan.patient, scan.ndim) == (id, patients[id], 2)
        assert all(value in (0, 1) or np.isnan(value) for value in labels.classes.values())
        if labels.mask is None:
            assert labels.structures == ()
            continue
        assert (labels.mask.dtype, labels.mask.shape) == (np.bool_, (len(labels.structures), *scan.shape))
        assert labels.known is not None
        assert not labels.mask[~labels.known].any()
    splits = data.splits()
    assert all(set(part) <= set(data.ids) for part in splits.values())
    assert overlaps(splits, data.patient) == {}


def test_only_some_splits_of_any_data_set(roots: dict[str, Path]) -> None:
    whole, part = opened("drive", roots["drive"]), opened("drive", roots["drive"], "?only=test&observer=2")
    assert part.ids == whole.splits()["test"]
    assert part.splits() == {"test": part.ids}
    assert facts(part) is facts(whole)
    again = pickle.loads(pickle.dumps(part))
    assert again.ids == part.ids
    assert (again.read(part.ids[0]).image == whole.read(part.ids[0]).image).all()
    assert (part.labels(part.ids[0]).mask != whole.labels(part.ids[0]).mask).all()  # by the other observer
    with pytest.raises(SettingError, match="no split 'tets'"):
        opened("drive", roots["drive"], "?only=tets")


SMALL, TINTED = np.zeros((50, 64), np.uint8), np.arange(64, dtype=np.uint8).repeat(64).reshape(64, 64)
FIRST = f"dicom-images-train/1.2.0/1.3.0/{siim_acr.TWICE}.dcm"
BROKEN: list[tuple[str, str, Break, str]] = [
    ("chase_db1", "", remove("Image_02L_1stHO.png"), r"root: no mask by observer 1 of Image_02L"),
    ("chase_db1", "", remove("Image_02L.jpg"), r"root: no image of Image_02L"),
    ("chase_db1", "", repaint("Image_01L_1stHO.png", SMALL), r"Image_01L_1stHO\.png: is 50 x 64, its image 64 x 64"),
    ("chase_db1", "", repaint("Image_01L_1stHO.png", SMALL[:32, :32]), r"Image_01L_1stHO\.png: is 32 x 32, its image"),
    ("chase_db1", "", repaint("Image_01L_1stHO.png", TINTED), r"Image_01L_1stHO\.png: holds 0 and 1, 2, 3, 4, \.\.\."),
    ("drive", "", remove("training/1st_manual/22_manual1.gif"), r"training/1st_manual: no mask of vessels of 22"),
    ("drive", "", remove("test/images/01_test.tif"), r"test/1st_manual: no image of 01"),
    ("drive", "", repaint("test/1st_manual/02_manual1.gif", SMALL), r"02_manual1\.gif: is 50 x 64"),
    ("drive", "", lambda root: (root / "test/1st_manual/02_manual1.gif").write_bytes(b"GIF89a"), r"02_manual1\.gif"),
    ("kermany", "", remove("train/NORMAL/IM-0115-0001.jpeg"), r"labels\.csv: names 'train/NORMAL/IM-0115-0001\.jpeg'"),
    ("kermany", "", edit("labels.csv", "val,NORMAL", "val,NOMRAL"), r"labels\.csv: label 'NOMRAL' of val/NORMAL"),
    ("kermany", "", edit("labels.csv", "label", "lable"), r"labels\.csv: has no column 'label'.*Did you mean 'lable'"),
    ("scr_jsrt", "", remove("scratch/fold2/masks/heart/JPCLN002.gif"), r"masks/heart/JPCLN002\.gif: no such mask"),
    ("scr_jsrt", "", repaint("scratch/fold2/masks/heart/JPCLN002.gif", SMALL), r"JPCLN002\.gif: is 50 x 64, .* 2048 x"),
    ("shenzhen", "?test_list=test.txt", edit("test.txt", "0328", "0329"), r"test\.txt: names 'CHNCXR_0329_1'"),
    ("siim_acr", "", remove(FIRST), rf"train-rle\.csv: names '{siim_acr.TWICE}'"),
    (
        "siim_acr",
        "",
        edit("train-rle.csv", "4\n", "5\n"),
        r"train-rle\.csv: row of .*4904: a run ends at pixel 1,048,577",
    ),
    ("siim_acr", "", edit("train-rle.csv", "0 2", "0 2 7"), r"train-rle\.csv: row of .*14508: runs are not pairs"),
    ("siim_acr", "", edit("train-rle.csv", "Encoded", ""), r"train-rle\.csv: has no column 'EncodedPixels'"),
    ("manifest", "", remove("scans/b1.png"), r"labels\.csv: names 'scans/b1\.png', which is not here"),
    (
        "manifest",
        "",
        remove("masks/heart.png"),
        r"labels\.csv: column 'mask_heart' of scans/a1\.png names 'masks/heart",
    ),
    (
        "manifest",
        "",
        edit("labels.csv", "test,,0", "test,,2"),
        r"labels\.csv: column 'effusion' of scans/b1\.png is '2'",
    ),
    ("manifest", "", edit("labels.csv", ",008", ","), r"labels\.csv: names no patient for scans/b1"),
    ("manifest", "", edit("labels.csv", "b1", "a1"), r"labels\.csv: has two rows for scans/a1"),
    ("manifest", "", edit("labels.csv", "patient", "whose"), r"labels\.csv: has no column that looks like 'patient'"),
    ("manifest", "?classes=nodul", edit("labels.csv", "", ""), r"labels\.csv: has no column 'nodul'.*Did you mean"),
    ("manifest", "", repaint("masks/lungs.png", SMALL), r"lungs\.png: is 50 x 64, its image 96 x 96"),
]


@pytest.mark.parametrize(("name", "query", "broken", "message"), BROKEN)
def test_what_is_absent_or_wrong_is_one_line_that_names_the_file(
    tmp_path: Path, roots: dict[str, Path], name: str, query: str, broken: Break, message: str
) -> None:
    root = tmp_path / "root"
    if name == "kermany":
        kermany.write(root, table=True)
    else:
        shutil.copytree(roots[name], root)
    broken(root)
    with pytest.raises(DataError, match=message) as caught:
        look_at_all(name, root, query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FAKES)
def test_an_empty_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty|labels\.csv|train-rle\.csv"):
        opened(name, tmp_path / "empty", "")


@pytest.mark.parametrize(
    ("name", "file"),
    [("kermany", "train/NORMAL/IM-0115-0001.jpeg"), ("siim_acr", FIRST), ("manifest", "scans/b1.png")],
)
def test_a_partial_download_is_used_on_request(tmp_path: Path, name: str, file: str) -> None:
    root = kermany.write(tmp_path / "root", table=True) if name == "kermany" else FAKES[name].write(tmp_path / "root")
    (root / file).unlink()
    assert len(opened(name, root, "?partial=yes").ids) == FAKES[name].IMAGES - 1


@pytest.mark.parametrize(
    ("name", "option"), [("drive", "observer"), ("chase_db1", "observer"), ("scr_jsrt", "test_fold")]
)
def test_there_are_two_observers_and_two_folds(roots: dict[str, Path], name: str, option: str) -> None:
    with pytest.raises(SettingError, match=f"{option}=3"):
        opened(name, roots[name], f"?{option}=3")


def test_kermany_reads_the_same_from_folders_and_table(tmp_path: Path) -> None:
    folders, table = kermany.write(tmp_path / "a"), kermany.write(tmp_path / "b", table=True)
    a, b = opened("kermany", folders), opened("kermany", table)
    assert (a.ids, a.splits(), [a.patient(id) for id in a.ids]) == (b.ids, b.splits(), [b.patient(id) for id in b.ids])
    assert {name: len(ids) for name, ids in a.splits().items()} == {"train": 5, "val": 2, "test": 3}
    assert [a.labels(id).classes["pneumonia"] for id in a.ids] == [float("PNEUMONIA" in id) for id in a.ids]
    assert a.notes[0].startswith("1 person numbers are in two splits")  # type: ignore[attr-defined]


def test_kermany_refuses_a_name_that_tells_no_patient(tmp_path: Path) -> None:
    root = kermany.write(tmp_path / "root") / "chest_xray" / "train" / "NORMAL"
    (root / "IM-0115-0001.jpeg").rename(root / "0115.jpeg")
    with pytest.raises(DataError, match=r"NORMAL/0115\.jpeg: its name tells no patient"):
        opened("kermany", tmp_path / "root")


@pytest.mark.parametrize("plain", [False, True])
def test_drive_pairs_photographs_and_vessels(tmp_path: Path, plain: bool) -> None:
    data = opened("drive", drive.write(tmp_path / "root", plain))
    assert data.splits() == {"train": ("21", "22"), "test": ("01", "02")}
    for id in data.ids:
        assert np.array_equal(data.labels(id).mask, drive.vessels(int(id))[None])
    assert data.field_of_view("21").all()  # type: ignore[attr-defined]


def test_drive_without_test_vessels_is_unlabelled_there(tmp_path: Path) -> None:
    root = drive.write(tmp_path / "root")
    second = opened("drive", root, "?observer=2")
    assert np.array_equal(second.labels("01").mask, ~drive.vessels(1)[None])
    assert second.labels("21").mask is None
    shutil.rmtree(root / "test" / "1st_manual")
    assert opened("drive", root).labels("01").mask is None
    assert opened("drive", root).notes == ("2 photographs have no vessels of observer 1.",)  # type: ignore[attr-defined]


@pytest.mark.parametrize("plain", [False, True])
def test_chase_has_two_eyes_and_two_observers(tmp_path: Path, plain: bool) -> None:
    root = chase_db1.write(tmp_path / "root", plain)
    first, second = (opened("chase_db1", root, f"?observer={n}") for n in (1, 2))
    assert [first.patient(id) for id in first.ids] == ["01", "01", "02", "02"]
    for number, id in enumerate(first.ids):
        assert np.array_equal(first.labels(id).mask, drive.vessels(number)[None])
        assert np.array_equal(second.labels(id).mask, ~drive.vessels(number)[None])


def test_shenzhen_reads_names_lists_and_readings(roots: dict[str, Path]) -> None:
    data = opened("shenzhen", roots["shenzhen"])
    assert data.splits() == {"train": ("CHNCXR_0001_0", "CHNCXR_0327_1"), "test": ("CHNCXR_0002_0", "CHNCXR_0328_1")}
    assert [data.labels(id).classes["tuberculosis"] for id in data.ids] == [0, 0, 1, 1]
    meta = [dict(data.read(id).meta) for id in data.ids]
    assert [m.get("sex") for m in meta] == ["M", "F", "F", None]
    assert [m.get("age_band") for m in meta] == ["40-49", "0-9", "30-39", None]
    assert opened("shenzhen", roots["shenzhen"], "").splits() == {}


def test_shenzhen_refuses_a_label_out_of_range(tmp_path: Path) -> None:
    root = shenzhen.write(tmp_path / "root") / "ChinaSet_AllFiles" / "CXR_png"
    (root / "CHNCXR_0001_0.png").rename(root / "CHNCXR_0001_2.png")
    with pytest.raises(DataError, match=r"CHNCXR_0001_2\.png: its name ends in a label that is not 0 or 1"):
        opened("shenzhen", tmp_path / "root", "")


@real
def test_the_real_kermany() -> None:
    data = opened("kermany", REAL / "cxr" / "kermany")
    assert {name: len(ids) for name, ids in data.splits().items()} == {"train": 1001, "test": 618}
    assert overlaps(data.splits(), data.patient) == {}
    assert data.read(data.ids[0]).shape == (224, 224)


@real
def test_the_real_vessels() -> None:
    data = opened("drive", REAL / "fundus" / "drive")
    assert {name: len(ids) for name, ids in data.splits().items()} == {"train": 20, "test": 20}
    chase = opened("chase_db1", REAL / "fundus" / "chase_db1")
    assert (len(chase.ids), len({chase.patient(id) for id in chase.ids})) == (28, 14)
    for each, shape in ((data, (1, 584, 565)), (chase, (1, 960, 999))):
        mask = each.labels(each.ids[0]).mask
        assert mask is not None
        assert mask.shape == shape
        assert 0.05 < mask.mean() < 0.15  # vessels are about a tenth of the eye
