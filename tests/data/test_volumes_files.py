import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from vesalius.data.build import build
from vesalius.data.datasets import open_dataset
from vesalius.data.files import read
from vesalius.data.prepare import CT, VOLUME, prepare
from vesalius.errors import DataError
from vesalius.space.affine import to_mm

REAL = Path(__file__).resolve().parents[3] / "shared/data/ct/images"
AFFINE = np.array([[0, 0, 2.0, -40], [-1, 0, 0, 30], [0, 1.5, 0, 5], [0, 0, 0, 1]])
TURNED = np.diag([-0.7, -0.7, 2.5, 1])  # LPS, as most CT is stored


def hu(shape=(9, 7, 5), seed=0):
    """(*shape) int16: a patient of about 40 HU in air."""
    image = np.full(shape, -1000, np.int16)
    inside = tuple(slice(1, -1) for _ in shape)
    image[inside] = np.random.default_rng(seed).integers(0, 80, image[inside].shape)
    return image


def write_nifti(path, image, affine=TURNED, kind=nib.Nifti1Image, **header):
    made = kind(image, affine)
    for name, value in header.items():
        (made.header.set_xyzt_units if name == "xyzt_units" else getattr(made, f"set_{name}"))(*value)
    nib.save(made, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_nifti_arrives_as_nibabel_reads_it(tmp_path, name, kind):
    scan = read(write_nifti(tmp_path / name, hu(), AFFINE, kind))
    assert (scan.image[0] == nib.load(tmp_path / name).get_fdata()).all()
    assert (scan.image.dtype, scan.unit, scan.ndim) == (np.int16, "HU", 3)
    np.testing.assert_allclose(scan.affine, AFFINE)
    np.testing.assert_allclose(scan.spacing, (1, 1.5, 2))


@pytest.mark.parametrize(
    ("stored", "scale", "dtype"),
    [
        (np.uint16, (1, -1024), np.int16),
        (np.int16, (2, 0.5), np.float32),
        (np.int16, (100, 0), np.int32),
        (np.dtype(">i2"), (1, 0), np.int16),
        (np.float64, (1, 0), np.float64),
    ],
)
def test_scales_and_byte_orders_give_what_nibabel_gives(tmp_path, stored, scale, dtype):
    image = np.random.default_rng(0).integers(0, 3000, (4, 3, 2)).astype(stored)
    header = nib.Nifti1Header(endianness=">" if np.dtype(stored).byteorder == ">" else "<")
    header.set_data_dtype(stored)
    made = nib.Nifti1Image(image, TURNED, header)
    made.header.set_slope_inter(*scale)
    nib.save(made, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    start = nib.load(tmp_path / "a.nii").dataobj.offset
    data[start:] = image.tobytes("F")
    (tmp_path / "a.nii").write_bytes(data)
    scan = read(tmp_path / "a.nii")
    assert scan.image.dtype == dtype
    np.testing.assert_allclose(scan.image[0], nib.load(tmp_path / "a.nii").get_fdata(), rtol=1e-6)


def test_units_of_length_and_a_file_that_does_not_say_how_it_lies(tmp_path):
    micron = read(write_nifti(tmp_path / "u.nii", hu(), np.diag([700, 700, 900, 1.0]), xyzt_units=("micron",)))
    np.testing.assert_allclose(micron.spacing, (0.7, 0.7, 0.9), rtol=1e-6)
    lost = read(write_nifti(tmp_path / "n.nii", hu(), TURNED, sform=(None, 0), qform=(None, 0)))
    assert lost.affine is None
    np.testing.assert_allclose(lost.spacing, (0.7, 0.7, 2.5), rtol=1e-6)
    assert (prepare(lost, VOLUME).scan.image == lost.image).all()


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_itk_formats_agree_with_nifti_in_voxels_and_world(tmp_path, name):
    image = sitk.GetImageFromArray(hu().transpose(2, 1, 0))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((10, -20, 30))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    for file in (name, "same.nii"):
        sitk.WriteImage(image, tmp_path / file)
    scan, same = read(tmp_path / name), read(tmp_path / "same.nii")
    assert (scan.image == hu()).all()
    np.testing.assert_allclose(scan.affine, same.affine, atol=1e-6)
    np.testing.assert_allclose(scan.spacing, (0.7, 0.8, 2.5))
    point = image.TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose(to_mm(scan.affine, np.array([[3, 2, 1]]))[0], point * np.array((-1, -1, 1)))
    assert scan.image.flags.writeable


def test_the_unit_is_hu_only_where_values_are_near_air(tmp_path):
    for name, image, unit in [
        ("ct", hu(), "HU"),
        ("stored", (hu() + 1024).astype(np.uint16), "arbitrary"),
        ("mr", np.abs(hu()), "arbitrary"),
        ("scaled", (hu() / 4096).astype(np.float32), "arbitrary"),
    ]:
        assert read(write_nifti(tmp_path / f"{name}.nii", image)).unit == unit


def nan(image):
    image = image.astype(np.float32)
    image[0, 0, 0] = np.nan
    return image


SHEARED = np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])


def torn(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def sized(path, *dims):
    """A header that claims other sides."""
    data = bytearray(path.read_bytes())
    data[40:56] = np.array([len(dims), *dims, *[1] * (7 - len(dims))], "<i2").tobytes()
    path.write_bytes(data)
    return path


def flattened(path):
    """An sform whose third row is zero."""
    data = bytearray(path.read_bytes())
    data[312:328] = bytes(16)
    path.write_bytes(data)
    return path


def colour(path):
    pixels = np.zeros((4, 4, 4, 3), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), path)
    return path


def detached(path):
    sitk.WriteImage(sitk.GetImageFromArray(hu()), path)
    path.with_suffix(".raw").unlink()
    return path


def half_detached(path):
    sitk.WriteImage(sitk.GetImageFromArray(hu()), path)
    torn(path.with_suffix(".raw"))
    return path


def mha(path, array):
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), path)
    return path


BAD = {
    "2-D image .3 x 4. in the form": lambda d: write_nifti(d / "a.nii", np.zeros((3, 4), np.int16)),
    "2-D image .9 x 7 x 1. in the form": lambda d: write_nifti(d / "a.nii", hu((9, 7, 1))),
    "2-D image .5 x 4. in the": lambda d: mha(d / "a.mha", np.zeros((4, 5), np.int16)),
    "of 4 dimensions .3 x 4 x 5 x 6": lambda d: write_nifti(d / "a.nii.gz", np.zeros((3, 4, 5, 6), np.int16)),
    "of 4 dimensions .6 x 5": lambda d: mha(d / "a.nrrd", np.zeros((3, 4, 5, 6), np.int16)),
    "1 NaN and 0 infinite": lambda d: write_nifti(d / "a.nii.gz", nan(hu())),
    "sheared affine: its axes meet at 84": lambda d: write_nifti(d / "a.nii.gz", hu(), SHEARED),
    "affine has no inverse": lambda d: flattened(write_nifti(d / "a.nii", hu())),
    "that is truncated": lambda d: torn(write_nifti(d / "a.nii.gz", hu((40, 40, 40)))),
    "truncated: it ends": lambda d: torn(write_nifti(d / "a.nii", hu((40, 40, 40)))),
    "it holds fewer voxels": lambda d: torn(mha(d / "a.mha", hu())),
    "holds fewer voxels than the header": lambda d: torn(mha(d / "a.nrrd", hu())),
    "MetaImage form .its header": lambda d: torn(mha(d / "a.mha", hu()), 0.02),
    "the file of voxels that its header names": lambda d: detached(d / "a.mhd"),
    "the file beside it holds fewer": lambda d: half_detached(d / "a.mhd"),
    "file beside it holds fewer voxels": lambda d: half_detached(d / "a.nhdr"),
    "of 0 x 7 x 5 voxels": lambda d: sized(write_nifti(d / "a.nii", hu()), 0, 7, 5),
    "claims 30000 x 30000 x 9 voxels": lambda d: sized(write_nifti(d / "a.nii", hu()), 30000, 30000, 9),
    "several channels": lambda d: colour(d / "a.mha"),
    "values": lambda d: write_nifti(d / "a.nii", np.zeros((4, 4, 4), np.complex64)),
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_volumes_are_named_in_one_line_and_the_others_are_prepared(tmp_path, reason):
    (tmp_path / "data").mkdir()
    bad = BAD[reason](tmp_path / "data")
    with pytest.raises(DataError, match=reason) as caught:
        read(bad)
    assert caught.value.file == str(bad)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    write_nifti(tmp_path / "data" / "good.nii.gz", hu())
    dataset = open_dataset(str(tmp_path / "data"))
    made = build(dataset, dataset.ids, CT, tmp_path / "cache", workers=1)
    assert [id for id, _, _ in made.set_aside] == [bad.name]
    assert made.cache.ids == ("good.nii.gz",)


def test_a_wrong_checksum_is_found(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", hu())
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC"):
        read(path)


def test_more_than_the_header_says_is_not_inflated(tmp_path):
    path = write_nifti(tmp_path / "a.nii", hu())
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes() + bytes(10_000_000)))
    assert (read(tmp_path / "b.nii.gz").image == hu()).all()


def test_a_changed_data_file_beside_its_header_is_prepared_again(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(hu().transpose(2, 1, 0)), tmp_path / "a.mhd")
    dataset = open_dataset(str(tmp_path))
    first, before = build(dataset, dataset.ids, VOLUME, tmp_path / "cache", workers=1), dataset.content("a.mhd")
    (tmp_path / "a.raw").write_bytes((hu() + 1).transpose(2, 1, 0).tobytes())
    os.utime(tmp_path / "a.raw", ns=(1, 1))
    again = build(dataset, dataset.ids, VOLUME, tmp_path / "cache", workers=1)
    assert (first.made, again.made, dataset.ids) == (1, 1, ("a.mhd",))
    assert dataset.content("a.mhd") != before
    assert (again.cache[0].read() == first.cache[0].read() + 1).all()


def test_real_ct_is_read_as_nibabel_reads_it_and_its_body_is_where_it_should_be():
    if not REAL.is_dir():
        pytest.skip("no real CT at shared/data/ct")
    path = REAL / "chest_pyradiomics_lung1.nii.gz"
    scan, oracle = read(path), nib.load(path)
    assert (scan.image[0] == np.asanyarray(oracle.dataobj)).all()
    np.testing.assert_allclose(scan.affine, oracle.affine)
    done = prepare(scan, CT).scan
    assert (done.spacing, nib.aff2axcodes(done.affine)) == ((1.25, 1.25, 5.0), ("R", "A", "S"))  # finer is not made
    assert done.body[done.image[0] >= -500].all()
    lungs = done.body & (done.image[0] < -700)
    assert 0.05 < lungs.mean() < 0.4
