"""Data sets of volumes: one contract for all, on fakes in their real layout, then what each says."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
from sklearn.model_selection import KFold

from fakes import (
    amos,
    bids,
    brats18,
    btcv,
    ct_headneck,
    flare22,
    lidc_idri,
    lits,
    luna16,
    midrc_ricord_1a,
    msd,
    nlst,
    nnunet,
    nsclc_radiomics,
)  # fmt: skip
from fakes.volumes import LPS, SHAPE, ct, dots, mr, save
from vesalius.data.datasets import Dataset, facts, open_dataset
from vesalius.data.masks import read_volume_map, volume_labels
from vesalius.data.scan import Scan
from vesalius.data.splits import overlaps
from vesalius.errors import DataError, SettingError

FAKES: dict[str, ModuleType] = {
    fake.__name__.rpartition(".")[2]: fake
    for fake in (
        amos, bids, brats18, btcv, ct_headneck, flare22, lidc_idri, lits, luna16, midrc_ricord_1a, msd, nlst, nnunet,
        nsclc_radiomics,
    )
}  # fmt: skip
MAPS = {  # a label map of each that has any, and its image
    "amos": "labelsVa/amos_0008.nii.gz",
    "bids": "derivatives/manual/sub-01/ses-1/anat/sub-01_ses-1_run-2_label-liver_mask.nii.gz",
    "brats18": "LGG/Brats18_2013_0_1/Brats18_2013_0_1_seg.nii.gz",
    "btcv": "RawData/Training/label/label0003.nii.gz",
    "ct_headneck": "labels/pt_3.nii.gz",
    "flare22": "Training/FLARE22_LabeledCase50/labels/FLARE22_Tr_0002.nii.gz",
    "lits": "Training Batch 1/segmentation-27.nii",
    "msd": "labelsTr/hippocampus_002.nii.gz",
    "nnunet": "labelsTr/brain_02.nii.gz",
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


def look_at_all(name: str, root: Path, query: str | None = None) -> None:
    data = opened(name, root, query)
    data.splits()
    for id in data.ids:
        data.read(id)
        data.labels(id)


@pytest.mark.parametrize("name", FAKES)
def test_every_dataset_of_volumes_keeps_the_contract(roots: dict[str, Path], name: str) -> None:
    data, fake = opened(name, roots[name]), FAKES[name]
    published = facts(data)
    assert published is not None
    assert (published.name, published.ndim) == (name, 3)
    assert isinstance(data, Dataset)
    assert data.ids == opened(name, roots[name]).ids == tuple(sorted(set(data.ids)))
    patients = {id: data.patient(id) for id in data.ids}
    assert (len(data.ids), len(set(patients.values()))) == (fake.IMAGES, fake.PATIENTS)
    assert patients == {id: pickle.loads(pickle.dumps(data)).patient(id) for id in data.ids}
    assert len({data.content(id) for id in data.ids}) == len(data.ids)
    labelled = 0
    for id in data.ids:
        scan, labels = data.read(id), data.labels(id)
        assert (scan.id, scan.patient, scan.ndim) == (id, patients[id], 3)
        assert scan.meta.get("modality", "") in ("CT", "MR", "")
        assert scan.unit == ("HU" if scan.meta.get("modality") == "CT" else "arbitrary")
        if labels.mask is None:
            assert labels.structures == ()
            continue
        labelled += 1
        assert (labels.mask.dtype, labels.mask.shape) == (np.bool_, (len(labels.structures), *scan.shape))
        assert labels.known is not None
        assert not labels.mask[~labels.known].any()
    assert labelled == fake.LABELLED
    splits = data.splits()
    assert all(set(part) <= set(data.ids) for part in splits.values())
    assert overlaps(splits, data.patient) == {}


@pytest.mark.parametrize("name", MAPS)
def test_a_label_map_must_be_of_its_image(tmp_path: Path, roots: dict[str, Path], name: str) -> None:
    path = tmp_path / "root" / MAPS[name]
    moved, empty = LPS + np.eye(4, k=3), np.zeros(SHAPE, np.uint8)  # by 1 mm along x, of voxels of 1.5 mm
    for wrong, message in (
        (lambda: save(path, empty[:-1]), r"is 7 x 7 x 6, its image 8 x 7 x 6"),
        (lambda: save(path, empty, moved), r"lies elsewhere than its image: .* by up to 0\.667 voxels"),
        (lambda: save(path, empty + np.uint8(99)), r"holds the label 99, where 0 and 1"),
        (lambda: path.write_bytes(b"torn"), r"is a volume"),
    ):
        shutil.copytree(roots[name], tmp_path / "root", dirs_exist_ok=True)
        wrong()
        with pytest.raises(DataError, match=rf"{path.name}: {message}") as caught:
            look_at_all(name, tmp_path / "root")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(MAPS) - {"bids", "brats18"}))
def test_a_missing_label_map_is_an_error_from_the_start(tmp_path: Path, roots: dict[str, Path], name: str) -> None:
    root = shutil.copytree(roots[name], tmp_path / "root")
    (root / MAPS[name]).unlink()
    with pytest.raises(
        DataError, match=r"no label map of|names 'labelsTr/hippocampus_002\.nii\.gz', which is not here"
    ):
        opened(name, root)


@pytest.mark.parametrize("name", FAKES)
def test_an_empty_folder_without_volumes_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        opened(name, tmp_path / "empty", "")


# The label map itself

TWO = {1: "a", 2: "b"}


def scan_of(affine: np.ndarray | None = LPS) -> Scan:
    return Scan(np.zeros((1, *SHAPE), np.int16), "HU", affine=affine)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_label_map_arrives_voxel_for_voxel_in_one_byte(tmp_path: Path, dtype: type) -> None:
    truth = dots((1, 2, 2, 1))
    values = read_volume_map(save(tmp_path / "a.nii.gz", truth.astype(dtype)), scan_of(), TWO)
    assert values.dtype == np.uint8
    assert (values == truth).all()


@pytest.mark.parametrize(("bad", "shown"), [(-1.0, "-1"), (0.5, "0.5"), (3.0, "3"), (300.0, "300")])
def test_a_value_that_is_no_structure_is_named(tmp_path: Path, bad: float, shown: str) -> None:
    image = dots((1, 2)).astype(np.float32)
    image[0, 0, 0] = bad
    with pytest.raises(DataError, match=rf"a\.nii\.gz: holds the label {shown}, where 0 and 1, 2 are known"):
        read_volume_map(save(tmp_path / "a.nii.gz", image), scan_of(), TWO)


def test_rounded_headers_pass_and_a_half_voxel_does_not(tmp_path: Path) -> None:
    for shift, fits in ((0.01, True), (0.3, True), (0.75, False)):  # mm, of voxels of 1.5 mm
        path = save(tmp_path / "a.nii.gz", dots((1, 2)), LPS + shift * np.eye(4, k=3))
        if fits:
            assert (read_volume_map(path, scan_of(), TWO) == dots((1, 2))).all()
        else:
            with pytest.raises(DataError, match=r"up to 0\.5 voxels"):
                read_volume_map(path, scan_of(), TWO)


def test_a_flipped_label_map_is_found_though_its_shape_fits(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", dots((1, 2)), LPS * np.array([[-1], [1], [1], [1]]))
    with pytest.raises(DataError, match="lies elsewhere than its image"):
        read_volume_map(path, scan_of(), TWO)
    with pytest.raises(DataError, match="its image has no affine"):
        read_volume_map(path, scan_of(None), TWO)


def test_structures_may_overlap_and_unknown_is_empty() -> None:
    values = dots((1, 2, 2, 3))
    labels = volume_labels(values, {"all": (1, 2, 3), "two": (2,), "three": (3,)}, unknown=("three",))
    assert labels.mask is not None
    assert labels.known is not None
    assert labels.known.tolist() == [True, True, False]
    assert (labels.mask == np.stack([values > 0, values == 2, np.zeros(SHAPE, bool)])).all()


# What each says


@pytest.mark.parametrize("name", ["amos", "btcv", "ct_headneck", "flare22", "msd"])
def test_masks_are_the_values_of_the_label_map(roots: dict[str, Path], name: str) -> None:
    data = opened(name, roots[name])
    id = next(id for id in reversed(data.ids) if id in data.maps)  # type: ignore[attr-defined]
    stored = np.asarray(nib.load(roots[name] / data.maps[id]).dataobj)  # type: ignore[attr-defined]
    labels = data.labels(id)
    assert labels.mask is not None
    assert labels.structures == tuple(data.structures.values())  # type: ignore[attr-defined]
    for value, plane in enumerate(labels.mask, 1):
        assert (plane == (stored == value)).all()


def test_btcv_pairs_numbers_and_folds_as_kfold_does(roots: dict[str, Path]) -> None:
    labelled = [f"img{number:04}" for number in range(1, 7)]
    tested = []
    for fold, (train, test) in enumerate(KFold(5, shuffle=True, random_state=42).split(labelled)):
        parts = opened("btcv", roots["btcv"], f"?fold={fold}").splits()
        assert parts["test"] == tuple(labelled[i] for i in test)
        assert sorted((*parts["train"], *parts["valid"])) == [labelled[i] for i in train]
        assert (len(parts["valid"]), parts["unlabelled"]) == (1, ("img0061",))
        tested += parts["test"]
    assert sorted(tested) == labelled
    assert opened("btcv", roots["btcv"]).splits() == {"train": tuple(labelled), "unlabelled": ("img0061",)}
    assert opened("btcv", roots["btcv"] / "RawData").ids == opened("btcv", roots["btcv"]).ids


@pytest.mark.parametrize("query", ["?fold=5", "?fold=-1", "?fold=0&folds=1", "?fold=0&folds=6"])
def test_a_fold_that_is_not_there_is_refused(roots: dict[str, Path], query: str) -> None:
    with pytest.raises(SettingError, match=r"fold=.* of folds=.* with 6 labelled volumes"):
        opened("btcv", roots["btcv"], query).splits()


def test_msd_reads_modalities_as_channels(tmp_path: Path) -> None:
    data = opened("msd", msd.write(tmp_path / "a", ("T2", "ADC")))
    scan = data.read("hippocampus_001")
    assert (scan.image == np.moveaxis(mr(0, (*SHAPE, 2)), -1, 0)).all()
    assert data.labels("hippocampus_001").structures == ("Anterior", "Posterior")
    assert {part: len(ids) for part, ids in data.splits().items()} == {"train": 4, "unlabelled": 1}
    save(tmp_path / "a/imagesTr/hippocampus_001.nii.gz", mr(0, (*SHAPE, 3)))
    with pytest.raises(DataError, match=r"hippocampus_001\.nii\.gz: has 3 channels, and dataset\.json names 2"):
        data.read("hippocampus_001")


def test_msd_has_three_folds_and_says_which_tasks_there_are(tmp_path: Path, roots: dict[str, Path]) -> None:
    folds = [opened("msd", roots["msd"], f"?fold={fold}").splits() for fold in range(3)]
    assert sorted(id for parts in folds for id in parts["test"]) == [f"hippocampus_{n:03}" for n in range(1, 5)]
    shutil.copytree(roots["msd"], tmp_path / "Task04_Hippocampus")
    with pytest.raises(DataError, match=r"holds tasks, and is none\. Give one of Task04_Hippocampus"):
        opened("msd", tmp_path)


def test_a_partial_msd_is_used_on_request(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["msd"], tmp_path / "root")
    (root / "imagesTr/hippocampus_001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"dataset\.json: names 'imagesTr/hippocampus_001\.nii\.gz', which is not here"):
        opened("msd", root)
    (root / "labelsTr/hippocampus_002.nii.gz").unlink()
    parts = opened("msd", root, "?partial=yes").splits()
    assert parts["train"] == ("hippocampus_003", "hippocampus_004")
    assert parts["unlabelled"] == ("hippocampus_002", "hippocampus_009")


def test_amos_tells_ct_from_mr_by_number(roots: dict[str, Path]) -> None:
    assert opened("amos", roots["amos"], "").ids == ("amos_0001", "amos_0002", "amos_0004", "amos_0008")
    mri = opened("amos", roots["amos"], "?modality=mr")
    assert mri.splits() == {"train": ("amos_0507",), "valid": ("amos_0510",), "unlabelled": ("amos_0600",)}
    labels, of_ct = mri.labels("amos_0507"), opened("amos", roots["amos"], "").labels("amos_0001")
    assert labels.known is not None
    assert of_ct.known is not None
    assert np.array(labels.structures)[~labels.known].tolist() == ["bladder", "prostate or uterus"]
    assert of_ct.known.all()  # the gallbladder was taken out, and that is known
    with pytest.raises(SettingError, match="Did you mean 'mr'"):
        opened("amos", roots["amos"], "?modality=mri")


def test_flare_leaves_turned_volumes_out_as_vox2vec_did(roots: dict[str, Path]) -> None:
    data = opened("flare22", roots["flare22"])
    assert data.splits()["unlabelled"] == ("Case_01001", "TU_0003", "TU_0004")
    assert data.notes == ("1 volumes are left out: their affine is not diagonal (?diagonal=no).",)  # type: ignore[attr-defined]
    assert "TU_0005" in opened("flare22", roots["flare22"], "?diagonal=no").ids


def test_an_organ_that_is_absent_in_head_and_neck_is_unknown(roots: dict[str, Path]) -> None:
    data = opened("ct_headneck", roots["ct_headneck"])
    known = {id: data.labels(id).known for id in data.ids}
    assert known["pt_2"] is not None
    assert known["pt_2"].tolist() == [organ != "larynx" for organ in ct_headneck.ORGANS]
    assert known["pt_1"] is not None
    assert known["pt_1"].all()
    assert {part: len(ids) for part, ids in data.splits().items()} == {
        "train": 2,
        "valid": 1,
        "test": 1,
        "unlabelled": 2,
    }
    assert data.notes == ("1 contours are suspect by dataset.json (SpinalCord: 1).",)  # type: ignore[attr-defined]


def test_a_case_of_head_and_neck_in_no_split_is_refused(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["ct_headneck"], tmp_path / "root")
    described = json.loads((root / "dataset.json").read_text())
    described["cases"][0]["split"] = "held back"
    (root / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=r"dataset\.json: does not give each case an id and a split .*'held back'"):
        opened("ct_headneck", root)


def test_a_patient_is_the_folder_of_that_name_at_any_depth(tmp_path: Path, roots: dict[str, Path]) -> None:
    nested = opened("lidc_idri", roots["lidc_idri"])
    home = roots["lidc_idri"] / "manifest-1600709154662" / "LIDC-IDRI"
    assert [nested.patient(id) for id in nested.ids] == ["LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0002"]
    assert opened("lidc_idri", home / "LIDC-IDRI-0002").ids == tuple(
        id.split("/", 3)[3] for id in nested.ids if nested.patient(id) == "LIDC-IDRI-0002"
    )
    shutil.copytree(home / "LIDC-IDRI-0001", tmp_path / "patient 1")
    with pytest.raises(DataError, match=r"is a series in no patient's folder, whose name is LIDC-IDRI-"):
        opened("lidc_idri", tmp_path)


def test_nlst_takes_the_longest_series_of_a_participant(roots: dict[str, Path]) -> None:
    data = opened("nlst", roots["nlst"])
    assert {data.patient(id): data.read(id).shape[2] for id in data.ids} == {"100012": 6, "100147": 5}
    assert data.notes == (  # type: ignore[attr-defined]
        "2 series are left out, not being a patient's longest.",
        "1 patients are left out, with no series of 4 slices.",
    )
    with pytest.raises(DataError, match="no series of 32 slices or more: the longest has 6"):
        opened("nlst", roots["nlst"], "")


def test_nnunet_stacks_channels_and_joins_regions(roots: dict[str, Path]) -> None:
    data = opened("nnunet", roots["nnunet"])
    assert (data.read("brain_01b").image == np.stack([mr(2), mr(3)])).all()
    labels, values = data.labels("brain_01b"), dots((1, 2, 2, 3), 1)
    assert labels.mask is not None
    assert labels.structures == ("whole tumour", "core", "cyst")
    assert (labels.mask == np.stack([(values == 1) | (values == 2), values == 2, values == 3])).all()
    people = opened("nnunet", roots["nnunet"], "?patient_regex=brain_(..)")
    assert [people.patient(id) for id in people.ids] == ["01", "01", "02", "03"]
    with pytest.raises(SettingError, match="no such group"):
        opened("nnunet", roots["nnunet"], "?patient_regex=brain").patient("brain_02")


def test_nnunet_of_version_1_reads_values_first(tmp_path: Path) -> None:
    data = opened("nnunet", nnunet.write(tmp_path / "root", version=1))
    labels = data.labels("brain_02")
    assert labels.mask is not None
    assert labels.structures == ("edema", "core", "cyst")
    assert labels.mask.sum((1, 2, 3)).tolist() == [1, 2, 1]


def test_nnunet_changes_its_content_with_any_channel(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["nnunet"], tmp_path / "root")
    before = opened("nnunet", root).content("brain_02")
    save(root / "imagesTr/brain_02_0001.nii.gz", mr(77))
    assert opened("nnunet", root).content("brain_02") != before
    save(root / "imagesTr/brain_02_0001.nii.gz", mr(77), LPS + np.eye(4, k=3))
    with pytest.raises(DataError, match=r"brain_02_0001\.nii\.gz: lies elsewhere"):
        opened("nnunet", root).read("brain_02")
    (root / "imagesTr/brain_02_0001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"imagesTr: has 1 channels of brain_02, and dataset\.json names 2"):
        opened("nnunet", root)


def test_nnunet_knows_nothing_of_a_case_with_ignored_voxels(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["nnunet"], tmp_path / "root")
    described = json.loads((root / "dataset.json").read_text())
    described["labels"] = {"background": 0, "tumour": 1, "core": 2, "ignore": 3}
    (root / "dataset.json").write_text(json.dumps(described))
    save(root / "labelsTr/brain_02.nii.gz", dots((1, 2)))
    sparse, whole = (opened("nnunet", root).labels(case) for case in ("brain_01a", "brain_02"))
    assert sparse.structures == whole.structures == ("tumour", "core")
    assert sparse.known is not None
    assert whole.known is not None
    assert (sparse.known.tolist(), whole.known.tolist()) == ([False, False], [True, True])


def test_bids_pairs_masks_by_entities(roots: dict[str, Path]) -> None:
    data = opened("bids", roots["bids"])
    assert data.patient("sub-01_ses-1_run-2_T1w") == "sub-01"
    known = {id: (labels := data.labels(id)).known is not None and labels.known.tolist() for id in data.ids}
    assert data.structures == ("heart", "lung", "liver")  # type: ignore[attr-defined]
    assert known == {
        "sub-01_ses-1_run-1_T1w": [True, True, False],
        "sub-01_ses-1_run-2_T1w": [False, False, True],
        "sub-02_T1w": [True, True, False],
        "sub-03_T1w": False,
    }
    first = data.labels("sub-01_ses-1_run-1_T1w").mask
    assert first is not None
    assert (first[1] == (dots((1, 300), 1) == 300)).all()


def test_bids_knows_people_and_suffixes(roots: dict[str, Path]) -> None:
    data = opened("bids", roots["bids"], "")
    meta = [dict(data.read(id).meta) for id in data.ids]
    assert [m.get("sex") for m in meta] == ["M", "M", "F", None]
    assert [m.get("age_band") for m in meta] == ["40-49", "40-49", None, "90+"]
    assert data.labels("sub-02_T1w").mask is None
    assert opened("bids", roots["bids"], "?suffix=FLAIR").ids == ("sub-01_ses-1_FLAIR",)
    with pytest.raises(DataError, match=r"no image with the suffix 'T2w'.*Did you mean 'T1w'"):
        opened("bids", roots["bids"], "?suffix=T2w")
    with pytest.raises(DataError, match=r"no masks of these images.*Did you mean 'manual'"):
        opened("bids", roots["bids"], "?masks=manuel").labels("sub-02_T1w")


def test_bids_wants_a_name_for_every_value(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["bids"], tmp_path / "root")
    table = root / "derivatives/manual/dseg.tsv"
    table.write_text(table.read_text().replace("300", "x"))
    with pytest.raises(DataError, match=r"dseg\.tsv: index 'x' is no whole number"):
        opened("bids", root).labels("sub-02_T1w")
    table.unlink()
    with pytest.raises(DataError, match=r"run-1_dseg\.nii\.gz: has no table that names its values"):
        opened("bids", root).labels("sub-02_T1w")


def test_a_volume_twice_is_refused(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = shutil.copytree(roots["ct_headneck"], tmp_path / "root")
    save(root / "unlabelled/pt_1.nii.gz", ct(9))
    with pytest.raises(DataError, match=r"has pt_1 twice: images/pt_1\.nii\.gz and unlabelled/pt_1\.nii\.gz"):
        opened("ct_headneck", root)


@real
def test_the_real_head_and_neck() -> None:
    data = opened("ct_headneck", REAL / "ct_headneck")
    splits = data.splits()
    assert {part: len(ids) for part, ids in splits.items()} == {"train": 48, "valid": 7, "test": 15, "unlabelled": 70}
    assert overlaps(splits, data.patient) == {}
    described = json.loads((REAL / "ct_headneck" / "dataset.json").read_text())
    case = next(case for case in described["cases"] if len(case["oars"]) == 6)
    labels = data.labels(case["id"])
    assert labels.mask is not None
    assert labels.known is not None
    assert labels.known.sum() == 6
    counted, said = sorted(labels.mask.sum((1, 2, 3)))[1:], sorted(case["oars"].values())
    np.testing.assert_allclose(counted, said, rtol=0.02)  # where contours overlap, a voxel has one value alone


@real
def test_the_real_hippocampus() -> None:
    data = opened("msd", REAL / "mr_hippocampus" / "Task04_Hippocampus", "?fold=0")
    assert {part: len(ids) for part, ids in data.splits().items()} == {"train": 172, "valid": 1, "test": 87}
    labels = data.labels(data.ids[0])
    assert labels.mask is not None
    assert labels.structures == ("Anterior", "Posterior")
    assert (labels.mask.sum((1, 2, 3)) > 500).all()  # mm3: about 1.5 ml each
