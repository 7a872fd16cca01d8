"""What `inspect` says of a folder of volumes before anything is trained on it."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from fakes import msd
from fakes.volumes import mr
from vesalius.data.build import build
from vesalius.data.checks import volumes
from vesalius.data.datasets import ct_headneck, open_dataset
from vesalius.data.doctor import inspect
from vesalius.data.examine import Looked, soft_tissue
from vesalius.data.files import write_png
from vesalius.data.prepare import CT
from vesalius.errors import DataError

HU = np.full((20, 18, 12), -1000, np.int16)
HU[3:-3, 3:-3] = np.random.default_rng(0).integers(0, 900, (14, 12, 12))


def write(path, image):
    nib.save(nib.Nifti1Image(image, np.diag((1, 1, 2, 1))), path)


def test_good_volumes_have_nothing_wrong(tmp_path):
    for k in range(3):
        write(tmp_path / f"{k}.nii.gz", np.roll(HU, 5 * k, axis=2) - 10 * k)
    report = inspect(open_dataset(f"folder:{tmp_path}?patient_regex=(.)"), workers=1)
    assert report.ok
    assert report.spacing == ((1, 1, 2),) * 3
    assert [f.kind for f in report.findings] == []


@pytest.mark.parametrize(
    ("bad", "kind", "detail"),
    [
        (np.full((9, 9, 9), -950, np.int16) - np.arange(9, dtype=np.int16), "air", "values -958 to -950"),
        ((HU + 1024).astype(np.uint16), "not HU", "values 24 to 1923"),
        (((HU + 1000) / 2000).astype(np.float32), "not HU", "values 0 to 0.9495"),
        (None, "dimensions", "30 x 40"),
    ],
)
def test_a_bad_one_among_good_ones_is_found_first_and_then_set_aside(tmp_path, bad, kind, detail):
    for k in range(2):
        write(tmp_path / f"good{k}.nii", HU - k)
    if bad is None:
        write_png(tmp_path / "bad.nii", np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8))
    else:
        write(tmp_path / "bad.nii", bad)
    dataset = open_dataset(str(tmp_path))
    found = {finding.kind: finding for finding in inspect(dataset, workers=1).findings}
    assert found[kind].groups[0][0] == "bad.nii"
    assert found[kind].groups[0][1].startswith(detail)
    made = build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
    assert [id for id, _, _ in made.set_aside] == ["bad.nii"]
    assert made.cache.ids == ("good0.nii", "good1.nii")


def body(k):
    """CT as stored: air at 24, and a body of fat, tissue and some bone; to be shifted by -1024."""
    rng = np.random.default_rng(k)
    hu = np.full((20, 18, 12), -1000)
    hu[3:-3, 3:-3] = rng.choice((-100, 40, 60, 900), (14, 12, 12), p=(0.3, 0.3, 0.3, 0.1)) + rng.integers(-20, 20)
    return (hu + 1024).astype(np.int16)


def found(root):
    return {finding.kind: finding for finding in inspect(open_dataset(str(root)), workers=1).findings}


def test_mr_is_never_warned_of_for_not_being_in_hu(tmp_path):
    assert "not HU" not in found(f"msd:{msd.write(tmp_path)}")


def test_where_nothing_says_that_it_is_mr_a_note_says_what_ct_must_be(tmp_path):
    for k in range(3):
        write(tmp_path / f"{k}.nii", mr(k, (20, 18, 12)))
    assert (found(tmp_path)["not HU"].severity, found(tmp_path)["not HU"].groups) == ("note", ())


def test_ct_without_its_intercept_is_found_in_a_folder_of_nothing_else(tmp_path):
    for k in range(3):
        write(tmp_path / f"{k}.nii", body(k))
    finding = found(tmp_path)["not HU"]
    assert finding.severity == "warning"
    assert [group[0] for group in finding.groups] == ["0.nii", "1.nii", "2.nii"]


def test_what_says_that_it_is_ct_must_be_in_hu():
    seen = Looked("a", "", (9, 9, 9), 1, "int16", "arbitrary", None, 0, 0, 0, 90, 0, "CT", 0.0, None, np.zeros(1))
    assert [f.severity for f in volumes([seen])] == ["warning"]
    assert [f.severity for f in volumes([replace(seen, modality="")], ct_headneck.FACTS)] == ["warning"]
    assert not list(volumes([replace(seen, modality="MR")]))
    assert not list(volumes([replace(seen, unit="HU")]))


def test_soft_tissue_is_most_of_ct_wherever_its_air_is_and_little_of_even_values():
    stored = body(0).astype(np.int32)[None]
    assert soft_tissue(stored) == soft_tissue(stored + 500) == pytest.approx(0.9, abs=0.02)
    even = np.arange(4000).reshape(1, 10, 20, 20)
    assert soft_tissue(even) == pytest.approx((1200 - 860) / 3500, abs=0.002)
    assert soft_tissue(even // 10) == 0


def test_a_data_set_without_an_image_is_refused(tmp_path):
    nothing = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a"}, "training": [], "test": []}
    (msd.write(tmp_path) / "dataset.json").write_text(json.dumps(nothing))
    with pytest.raises(DataError, match="holds no image"):
        inspect(open_dataset(f"msd:{tmp_path}"), workers=1)


def test_flat_images_where_volumes_are_meant_say_so(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((30, 40), np.uint8))
    dataset = open_dataset(str(tmp_path))
    with pytest.raises(DataError, match="30 x 40 voxels where 3-D ones are needed"):
        build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
