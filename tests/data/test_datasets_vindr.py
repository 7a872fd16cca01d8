"""VinDr-CXR and VinDr-RibCXR: readers, boxes, and ribs that are absent or unknown."""

import json
from pathlib import Path

import numpy as np
import pytest

from fakes import vindr_cxr, vindr_ribcxr
from vesalius.data.datasets import Dataset, open_dataset
from vesalius.errors import DataError


def opened(fake, folder: Path, options: str = "") -> Dataset:
    return open_dataset(f"{fake.__name__.rpartition('.')[2]}:{fake.write(folder / 'root')}{options}")


@pytest.mark.parametrize(
    ("consensus", "expected"),
    [
        ("majority", ({"Edema", "Pneumonia"}, {"No finding"}, set())),
        ("any", ({"Edema", "Pneumonia", "Other diseases"}, {"No finding", "Rib fracture"}, None)),
        ("all", ({"Edema"}, set(), set())),
    ],
)
def test_vindr_readers_agree_by_the_policy(tmp_path, consensus, expected):
    data = opened(vindr_cxr, tmp_path, f"?consensus={consensus}")
    for id, wanted in zip(("a1", "b2", "c3"), expected, strict=True):
        present = {name for name, value in data.labels(id).classes.items() if value == 1}
        assert present == (set().union(*vindr_cxr.READERS[id]) if wanted is None else wanted)


def test_vindr_other_disease_is_other_diseases_and_nobody_is_named(tmp_path):
    data = opened(vindr_cxr, tmp_path)
    assert data.labels("d4").classes["Other diseases"] == 1
    assert sum(data.labels("d4").classes.values()) == 1
    scan = data.read("a1")
    assert (scan.patient, scan.meta["sex"], scan.image.dtype) == ("a1", "F", np.uint16)
    assert data.splits() == {"train": ("a1", "b2", "c3"), "test": ("d4", "e5")}


@pytest.mark.parametrize(("task", "classes"), [("all", 28), ("local", 22), ("global", 6), ("benchmark", 6)])
def test_vindr_tasks(tmp_path, task, classes):
    names = opened(vindr_cxr, tmp_path, f"?task={task}").labels("c3").classes
    assert len(names) == classes
    assert set(names) <= set(vindr_cxr.FINDINGS)
    assert ("COPD" in names) == (task in ("all", "global"))


def test_vindr_boxes_are_those_of_findings_that_are_held(tmp_path):
    data = opened(vindr_cxr, tmp_path)
    assert data.labels("a1").boxes["Edema"].tolist() == [[20, 10.5, 40, 30], [21, 11, 41, 31]]
    assert data.labels("b2").boxes == {}  # one reader of three
    assert list(opened(vindr_cxr, tmp_path / "any", "?consensus=any").labels("b2").boxes) == ["Rib fracture"]


def test_vindr_what_nobody_said_is_not_labelled_and_two_is_no_label(tmp_path):
    root = vindr_cxr.write(tmp_path / "root")
    table = root / "annotations" / "image_labels_test.csv"
    header, row, last = table.read_text().splitlines()
    table.write_text("\n".join((header, ",".join([row.split(",")[0], *[""] * 28]), last.replace("0", "2", 1))))
    data = open_dataset(f"vindr_cxr:{root}")
    assert np.isnan(list(data.labels("d4").classes.values())).all()
    with pytest.raises(DataError, match=r"image_labels_test\.csv: Aortic enlargement of e5 is 2"):
        data.labels("e5")


def test_an_absent_rib_is_known_and_one_left_out_is_not(tmp_path):
    data = opened(vindr_ribcxr, tmp_path)
    labels = data.labels("VinDr_RibCXR_train_000")
    state = {
        rib: (bool(k), bool(m.any())) for rib, k, m in zip(labels.structures, labels.known, labels.mask, strict=True)
    }
    assert (state["R1"], state["R10"], state["L9"]) == ((True, True), (True, False), (False, False))
    assert list(state) == [f"{side}{number}" for side in "RL" for number in range(1, 11)]
    assert data.labels("VinDr_RibCXR_train_001").known.all()
    assert data.splits()["test"] == ("VinDr_RibCXR_val_000", "VinDr_RibCXR_val_001")


def test_ribs_lie_where_their_polygons_do_and_overlap(tmp_path):
    mask = opened(vindr_ribcxr, tmp_path).labels("VinDr_RibCXR_val_001").mask
    corners = [(int(p["y"]), int(p["x"])) for p in vindr_ribcxr.polygon(2, right=True)]
    assert all(mask[2][corner] for corner in corners)
    area = 30 * 8  # of the parallelogram, to which the edge adds half of what it crosses, and one
    assert area < mask[2].sum() <= area + (8 + 30) + 1
    assert (mask.sum(axis=0) > 1).any()


def test_a_rib_that_is_no_polygon_is_named(tmp_path):
    root = vindr_ribcxr.write(tmp_path / "root")
    table = root / "data" / "train" / "Vindr_RibCXR_train_mask.json"
    table.write_text(json.dumps({**json.loads(table.read_text()), "L3": {"1": [{"x": 1}]}}))
    with pytest.raises(DataError, match=r"train_mask\.json: L3 of VinDr_RibCXR_train_001 is not a polygon"):
        open_dataset(f"vindr_ribcxr:{root}").labels("VinDr_RibCXR_train_001")


def test_vindr_without_a_column_of_a_finding(tmp_path):
    root = vindr_cxr.write(tmp_path / "root")
    table = root / "annotations" / "image_labels_test.csv"
    table.write_text(table.read_text().replace("Other disease", "Others"))
    with pytest.raises(DataError, match=r"image_labels_test\.csv: has no column 'Other diseases'.*'Others'"):
        open_dataset(f"vindr_cxr:{root}")
