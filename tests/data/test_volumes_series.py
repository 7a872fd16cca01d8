import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from fakes.slices import AXIAL, write_slices
from vesalius.data.build import build
from vesalius.data.datasets import open_dataset
from vesalius.data.doctor import inspect
from vesalius.data.files import read
from vesalius.data.prepare import CT
from vesalius.errors import DataError

HU = np.full((8, 6, 9), -1000, np.int16)
HU[1:-1, 1:-1] = np.random.default_rng(0).integers(0, 99, (6, 4, 9))
SAGITTAL = (0.0, 1, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0, 0, 0, -1)


@pytest.mark.parametrize("axes", [AXIAL, SAGITTAL, OBLIQUE])
def test_a_series_is_what_simpleitk_makes_of_it(tmp_path, axes):
    write_slices(tmp_path, HU, axes=axes)
    scan, reader = read(tmp_path), sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    oracle = reader.Execute()
    assert (scan.image[0] == sitk.GetArrayFromImage(oracle).transpose(2, 1, 0)).all()
    assert (scan.image[0] == HU).all()
    assert (scan.image.dtype, scan.unit, scan.patient, scan.meta) == (np.int16, "HU", "SECRET", {"modality": "CT"})
    np.testing.assert_allclose(scan.spacing, oracle.GetSpacing(), atol=1e-5)
    for voxel in ((0, 0, 0), (7, 5, 8), (3, 1, 2)):
        world = np.array(oracle.TransformIndexToPhysicalPoint(voxel)) * (-1, -1, 1)
        np.testing.assert_allclose((scan.affine @ (*voxel, 1))[:3], world, atol=1e-4)


def test_mr_is_read_as_measured_whatever_the_window_of_its_slices(tmp_path):
    for k, path in enumerate(write_slices(tmp_path, np.maximum(HU, 0), modality="MR")):
        one = dcmread(path)
        one.WindowCenter, one.WindowWidth, one.RescaleSlope, one.RescaleIntercept = 50 * k, 100, 2, 0
        one.save_as(path)
    scan = read(tmp_path)
    assert (scan.unit, scan.image.dtype) == ("arbitrary", np.float32)
    assert (scan.image[0] == 2 * (np.maximum(HU, 0) + 1024)).all()


def gap(folder):
    write_slices(folder, HU)[4].unlink()


def two_gaps(folder):
    paths = write_slices(folder, HU)
    for k in (2, 5, 6):
        paths[k].unlink()


def mixed(folder):
    write_slices(folder, HU)
    write_slices(folder, HU[:, :, :4], series="1.2.4", prefix="b", origin=(0, 0, 99))


def crossed(folder):
    write_slices(folder, HU)
    write_slices(folder, HU[:, :, :3], axes=SAGITTAL, prefix="scout")


def resized(folder):
    write_slices(folder, HU)
    write_slices(folder, HU[:5], [50.0], prefix="b")


def torn(folder):
    path = write_slices(folder, HU)[3]
    path.write_bytes(path.read_bytes()[:-30])


BAD = {
    "1 slice.s. missing: the widest gap is between .* 5 mm apart, others 2.5 mm": gap,
    "3 slice.s. missing": two_gaps,
    "holds 2 DICOM series, of 9 and 4 slices": mixed,
    "differ in orientation": crossed,
    "differ in size": resized,
    "tilted gantry, by 15.* degrees": lambda folder: write_slices(
        folder, HU, shift=(0, 2.5 * np.tan(np.radians(15)), 0)
    ),
    "two slices in one place": lambda folder: write_slices(folder, HU, [0, 1, 2, 3, 3, 4, 5, 6, 7]),
    "uneven slices": lambda folder: write_slices(folder, HU, [0, 1, 2, 3, 4.3, 5.3, 6.3, 7.3, 8.3]),
    "cannot be read as DICOM pixels": torn,
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_series_is_found_by_inspect_named_and_set_aside(tmp_path, reason):
    write_slices(tmp_path / "data" / "good", HU)
    BAD[reason](tmp_path / "data" / "bad")
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path / "data" / "bad")
    assert str(tmp_path / "data" / "bad") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    dataset = open_dataset(str(tmp_path / "data"))
    found = {finding.kind: finding.groups for finding in inspect(dataset, workers=1).findings}
    assert [id for id, _ in found["unreadable"]] == ["bad"]
    made = build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
    assert ([id for id, _, _ in made.set_aside], made.cache.ids) == (["bad"], ("good",))


def test_a_folder_of_slices_is_one_volume_and_all_else_stays_an_image(tmp_path):
    write_slices(tmp_path / "a" / "ct", HU)
    write_slices(tmp_path / "b", HU[:, :, :1])
    write_slices(tmp_path / "c", HU[:, :, :3], modality="DX")
    sitk.WriteImage(sitk.GetImageFromArray(HU), tmp_path / "a" / "ct" / "v.nii.gz")
    (tmp_path / "a" / "ct" / "notes.txt").write_text("no image")
    ids = open_dataset(str(tmp_path)).ids
    assert (ids[:3], len(ids)) == (("a/ct", "a/ct/v.nii.gz", "b/00_00.dcm"), 6)
    flat = open_dataset(f"folder:{tmp_path}?series=no")
    assert len(flat.ids) == 9 + 1 + 1 + 3
    assert flat.read("a/ct/00_00.dcm").ndim == 2
    alone = open_dataset(str(tmp_path / "a" / "ct"))
    assert alone.ids == ("ct", "v.nii.gz")
    assert (alone.read("ct").image[0] == HU).all()


def test_one_changed_slice_is_a_changed_volume(tmp_path):
    paths = write_slices(tmp_path / "data" / "ct", HU)
    dataset = open_dataset(str(tmp_path / "data"))
    before = build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
    again = build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
    one = dcmread(paths[0])
    one.PixelData = bytes(len(one.PixelData))
    one.save_as(paths[0])
    changed = build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
    assert [(b.made, b.reused) for b in (before, again, changed)] == [(1, 0), (0, 1), (1, 0)]
