"""Real DICOM files against pydicom's own slow route: float, one step after the other."""

import logging
import warnings

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from fakes.dicom import shipped
from vesalius.data.files import read
from vesalius.errors import DataError


def reference(name):
    """The file by pydicom alone, warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(shipped(name))
        return dataset, dataset.pixel_array


def test_a_real_radiograph_is_bright_where_bone_is():
    dataset, stored = reference("RG1_UNCR.dcm")
    scan = read(shipped("RG1_UNCR.dcm"))
    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    assert scan.image.dtype == np.uint16
    expected = 1 - np.clip((stored - (15000 - 0.5)) / (30000 - 1) + 0.5, 0, 1)
    assert np.abs(scan.image[0] / 65535 - expected).max() <= 0.5001 / 65535
    assert (scan.unit, dict(scan.meta)) == ("0..1", {"view": "PA", "sex": "F", "modality": "CR"})
    assert scan.spacing is None  # the file says 0.000 mm
    assert scan.patient == dataset.PatientID


@pytest.mark.parametrize(
    ("plain", "compressed"),
    [
        ("RG3_UNCR.dcm", "RG3_J2KR.dcm"),  # JPEG 2000 lossless, 10 bits
        ("RG3_UNCI.dcm", "RG3_J2KI.dcm"),  # its lossy form, decoded by the authors of the file
        ("693_UNCR.dcm", "693_J2KR.dcm"),  # CT
        ("US1_UNCR.dcm", "US1_J2KR.dcm"),  # colour
        ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("MR_small.dcm", "MR_small_padded.dcm"),
        ("SC_rgb.dcm", "SC_rgb_jpeg_gdcm.dcm"),  # JPEG lossless
        ("SC_rgb.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb_16bit.dcm", "SC_rgb_rle_16bit.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),  # palette
        ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"),  # palette in big endian, which pydicom 3.0 swaps
    ],
)
def test_a_compressed_file_is_the_uncompressed_one(plain, compressed):
    a, b = read(shipped(plain)), read(shipped(compressed))
    assert np.array_equal(a.image, b.image)
    assert a.image.dtype == b.image.dtype
    assert (a.unit, a.spacing, a.meta) == (b.unit, b.spacing, b.meta)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_jls_lossy_line.dcm"])
def test_lossy_colour_is_near_the_plain_file(name):
    difference = read(shipped(name)).image.astype(int) - read(shipped("SC_rgb.dcm")).image
    assert np.abs(difference).mean() < 3


def test_twelve_bit_jpeg_is_near_its_uncompressed_original():
    lossy, plain = read(shipped("JPGExtended.dcm")), reference("JPEG-LL.dcm")[1]
    stored = lossy.image[0] * (4095 / 65535)
    assert np.corrcoef(stored.ravel(), plain.ravel())[0, 1] > 0.98
    assert abs(stored.mean() - plain.mean()) < 1


@pytest.mark.parametrize("name", ["CT_small.dcm", "693_UNCR.dcm", "J2K_pixelrep_mismatch.dcm", "explicit_VR-UN.dcm"])
def test_ct_is_in_hounsfield_units(name):
    dataset, stored = reference(name)
    scan = read(shipped(name))
    assert (scan.unit, scan.image.dtype) == ("HU", np.int16)
    assert np.array_equal(scan.image[0], apply_modality_lut(stored, dataset))
    assert scan.spacing == tuple(dataset.PixelSpacing)


@pytest.mark.parametrize("name", ["MR_small.dcm", "vlut_04.dcm", "mlut_18.dcm", "RG3_UNCR.dcm", "MR2_UNCR.dcm"])
def test_grey_is_what_pydicom_shows(name):
    dataset, stored = reference(name)
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
    shown = shown.max() - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
    image = read(shipped(name)).image[0].astype(float)
    slope, intercept = np.polyfit(shown.ravel(), image.ravel(), 1)  # pydicom's range is that of the bits, ours 0..1
    assert slope > 0
    assert np.abs(slope * shown + intercept - image).max() < 30  # of 65535: it rounds where we do not


@pytest.mark.parametrize("name", ["examples_palette.dcm", "gdcm-US-ALOKA-16.dcm"])
def test_palettes_are_applied(name):
    dataset, stored = reference(name)
    assert np.array_equal(np.moveaxis(read(shipped(name)).image, 0, -1), apply_color_lut(stored, dataset))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SC_rgb_2frame.dcm", r"holds 2 frames, and a 2-D scan is one\. Split it"),
        ("emri_small.dcm", r"holds 10 frames.*Split it"),
        ("rtplan.dcm", r"holds no image \(modality RTPLAN\)\. Leave it out"),
        ("MR_truncated.dcm", r"cannot be read as DICOM pixels \(.*less than expected"),
        ("badVR.dcm", "cannot be read as DICOM .its header is incomplete or wrong: ValueError"),
    ],
)
def test_what_holds_no_single_image_says_so(name, reason):
    with pytest.raises(DataError, match=reason):
        read(shipped(name))


@pytest.mark.parametrize("name", ["OT-PAL-8-face.dcm", "image_dfl.dcm", "liver_1frame.dcm", "bad_sequence.dcm"])
def test_odd_but_readable_files_are_read_without_a_word(name, caplog, capfd):
    with caplog.at_level(logging.WARNING):  # and warnings are errors here
        assert read(shipped(name)).image.std() > 0
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
