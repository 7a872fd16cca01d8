"""What `inspect` says of a folder of volumes before anything is trained on it."""

import nibabel as nib
import numpy as np
import pytest

from vesalius.data.build import build
from vesalius.data.datasets import open_dataset
from vesalius.data.doctor import inspect
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


def test_flat_images_where_volumes_are_meant_say_so(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((30, 40), np.uint8))
    dataset = open_dataset(str(tmp_path))
    with pytest.raises(DataError, match="30 x 40 voxels where 3-D ones are needed"):
        build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
