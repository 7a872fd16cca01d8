"""DICOM against pydicom's own slow route (float, one step after the other), and against what headers must mean."""

import logging
import os
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from vesalius.data import decoder
from vesalius.data.files import read
from vesalius.data.grey import Window, look_up
from vesalius.errors import DataError

SIGNED_AND_NOT = (np.uint8, np.int8, np.uint16, np.int16)


def shipped(name):
    """A file that lies inside pydicom or pydicom-data; nothing is downloaded."""
    path = get_testdata_file(name, download=False)
    assert path is not None, f"{name}: not in this pydicom and pydicom-data"
    return path


def reference(name):
    """The file by pydicom alone, warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(shipped(name))
        return dataset, dataset.pixel_array


def write(path, pixels, *, syntax=ExplicitVRLittleEndian, **header):
    """A DICOM file of `pixels`, (H, W) or (H, W, 3)."""
    dataset = FileDataset(path, {}, preamble=bytes(128))
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    bits, colour = 8 * pixels.dtype.itemsize, pixels.ndim == 3
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape[:2], 3 if colour else 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PhotometricInterpretation, dataset.Modality = "RGB" if colour else "MONOCHROME2", "DX"
    if colour:
        dataset.PlanarConfiguration = 0
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = data + bytes(len(data) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def ramp(dtype=np.uint16, bits=None):
    """(16, 16) values from the lowest to the highest that `bits` bits hold."""
    bits = bits or 8 * np.dtype(dtype).itemsize
    low = -(2 ** (bits - 1)) if np.dtype(dtype).kind == "i" else 0
    return np.linspace(low, low + 2**bits - 1, 256).round().astype(dtype).reshape(16, 16)


def lut(first, outputs, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(outputs), first, bits])
    item.add_new("LUTData", "US", list(outputs))
    return [item]


# real files ---------------------------------------------------------------------------------------------------------


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


# headers ------------------------------------------------------------------------------------------------------------

quickly = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quickly
@given(
    dtype=st.sampled_from(SIGNED_AND_NOT),
    syntax=st.sampled_from((ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)),
    slope=st.sampled_from((None, "1", "2.5", "-1", "0.01")),
    intercept=st.sampled_from((None, "0", "-1024", "3.5")),
    centre=st.integers(-200, 3000),
    width=st.integers(2, 5000),
    function=st.sampled_from((None, "LINEAR", "LINEAR_EXACT", "SIGMOID")),
    photometric=st.sampled_from(("MONOCHROME1", "MONOCHROME2")),
)
def test_windows_are_those_of_pydicom(tmp_path, dtype, syntax, slope, intercept, centre, width, function, photometric):
    header = {"RescaleSlope": slope, "RescaleIntercept": intercept, "VOILUTFunction": function}
    header = {keyword: value for keyword, value in header.items() if value is not None}
    if slope is None or intercept is None:  # pydicom rescales by both or by neither
        header = {keyword: value for keyword, value in header.items() if keyword == "VOILUTFunction"}
    header |= {"WindowCenter": [centre, 5], "WindowWidth": [width, 9], "PhotometricInterpretation": photometric}
    path = write(tmp_path / "a.dcm", ramp(dtype), syntax=syntax, **header)
    dataset = dcmread(path)
    rescaled = apply_modality_lut(dataset.pixel_array, dataset)
    low, high = (apply_modality_lut(np.array(end), dataset) for end in (ramp(dtype).min(), ramp(dtype).max()))
    shown = (apply_voi_lut(rescaled, dataset) - min(low, high)) / abs(high - low)
    if float(dataset.get("RescaleSlope", 1)) < 0:  # there pydicom's output range is upside down
        shown = Window(centre, width, function or "LINEAR")(rescaled)
    expected = 1 - shown if photometric == "MONOCHROME1" else shown
    image = read(path).image
    assert image.dtype == (np.uint8 if np.dtype(dtype).itemsize == 1 else np.uint16)
    assert np.abs(image[0] / np.iinfo(image.dtype).max - expected).max() < 0.6 / np.iinfo(image.dtype).max + 1e-9


@pytest.mark.parametrize("bits", [1, 7, 8, 10, 12, 15, 16])
def test_without_a_window_the_stored_bits_are_the_range(tmp_path, bits):
    stored = ramp(np.uint8 if bits <= 8 else np.uint16, bits)
    scan = read(write(tmp_path / "a.dcm", stored, BitsStored=bits, HighBit=bits - 1))
    top = np.iinfo(scan.image.dtype).max
    assert top == (255 if bits <= 8 else 65535)
    assert np.abs(scan.image[0] / top - stored / (2**bits - 1)).max() <= 0.5001 / top


def test_an_overlay_in_the_unused_bits_is_not_seen(tmp_path):
    for dtype in (np.uint16, np.int16):
        stored = ramp(dtype, 12)
        shifted = ((stored << 2) & 0x3FFC) | np.array(0x8001 - 2**16).astype(dtype)  # bits 0, 1, 14, 15 are not pixels
        window = {"WindowCenter": 5, "WindowWidth": 3000, "BitsStored": 12}
        a = read(write(tmp_path / "a.dcm", stored, **window, HighBit=11))
        b = read(write(tmp_path / "b.dcm", shifted, **window, HighBit=13))
        assert np.array_equal(a.image, b.image)


def test_monochrome1_is_the_negative_and_padding_is_black_in_both(tmp_path):
    stored = ramp(np.uint16, 12)
    header = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 0, "PixelPaddingRangeLimit": 40}
    a = read(write(tmp_path / "a.dcm", stored, **header)).image[0].astype(int)
    b = read(write(tmp_path / "b.dcm", stored, **header, PhotometricInterpretation="MONOCHROME1")).image[0].astype(int)
    body = stored > 40
    assert (a + b)[body].tolist() == [65535] * body.sum()
    assert a[~body].max() == b[~body].max() == 0


def test_a_voi_table_goes_before_the_window(tmp_path):
    stored, outputs = ramp(np.uint8), (np.arange(100) ** 2 // 3).tolist()
    table = {"VOILUTSequence": lut(50, outputs, 12), "WindowCenter": 3, "WindowWidth": 2}
    image = read(write(tmp_path / "a.dcm", stored, **table)).image[0]
    expected = np.array(outputs)[np.clip(stored.astype(int) - 50, 0, 99)] / 4095
    assert image.dtype == np.uint16
    assert np.abs(image / 65535 - expected).max() <= 0.5001 / 65535


def test_tables_may_begin_below_zero(tmp_path):
    stored = ramp(np.int16, 8)
    header = {"BitsStored": 8, "HighBit": 7, "ModalityLUTSequence": lut(-128, range(0, 512, 2), 9)}
    image = read(write(tmp_path / "a.dcm", stored, **header)).image[0]
    assert np.abs(image / 65535 - 2 * (stored + 128) / 511).max() <= 0.5001 / 65535


def test_a_table_with_too_few_entries_is_refused(tmp_path):
    table = lut(0, range(9), 8)
    table[0].LUTDescriptor = [200, 0, 8]
    with pytest.raises(DataError, match="header is incomplete or wrong"):
        read(write(tmp_path / "a.dcm", ramp(np.uint8), VOILUTSequence=table))


def test_ct_is_clipped_and_a_localizer_or_screen_shot_is_no_hounsfield(tmp_path):
    header = {"Modality": "CT", "RescaleSlope": "2", "RescaleIntercept": "-1024.5"}
    scan = read(write(tmp_path / "a.dcm", ramp(), **header))
    assert np.array_equal(scan.image[0], np.clip(np.rint(2.0 * ramp() - 1024.5), -32768, 32767))
    assert scan.unit == "HU"
    assert (
        read(write(tmp_path / "b.dcm", ramp(), **header, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])).unit == "0..1"
    )
    assert read(write(tmp_path / "c.dcm", ramp(), Modality="CT")).unit == "0..1"
    assert read(write(tmp_path / "d.dcm", ramp(), **header, RescaleType="US")).unit == "0..1"


def test_values_of_unknown_range_keep_their_own_unit(tmp_path):
    scan = read(write(tmp_path / "a.dcm", ramp(np.int16), RescaleSlope="0.5", RescaleIntercept="3"))
    assert (scan.unit, scan.image.dtype) == ("arbitrary", np.float32)
    assert np.array_equal(scan.image[0], ramp(np.int16) * 0.5 + 3)
    assert read(shipped("rtdose_1frame.dcm")).unit == "arbitrary"


def test_colour_of_equal_channels_is_grey_and_deep_colour_stays_deep(tmp_path):
    grey = np.dstack([ramp(np.uint8)] * 3)
    assert np.array_equal(read(write(tmp_path / "a.dcm", grey)).image, ramp(np.uint8)[None])
    deep = np.dstack([ramp(bits=12), ramp(bits=12).T, ramp(bits=12)[::-1]])
    image = read(write(tmp_path / "b.dcm", deep, BitsStored=12, HighBit=11)).image
    assert np.array_equal(image, np.rint(np.moveaxis(deep, -1, 0) * (65535 / 4095)))


@pytest.mark.parametrize(
    ("header", "spacing"),
    [
        ({"PixelSpacing": ["0.2", "0.1"], "ImagerPixelSpacing": ["0.3", "0.3"]}, (0.2, 0.1)),  # (row, column)
        ({"ImagerPixelSpacing": ["0.143", "0.143"]}, (0.143, 0.143)),
        ({"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4)),
        ({"NominalScannedPixelSpacing": ["0.5", "0.5"]}, (0.5, 0.5)),
        ({"PixelSpacing": ["-1", "1"]}, None),
        ({"PixelSpacing": "0.2"}, None),
        ({}, None),
    ],
)
def test_pixel_spacing_is_kept_where_it_makes_sense(tmp_path, header, spacing):
    assert read(write(tmp_path / "a.dcm", ramp(), **header)).spacing == spacing


@pytest.mark.parametrize(
    ("age", "band"),
    [("074Y", "70-79"), ("009Y", "0-9"), ("018M", "0-9"), ("090Y", "90+"), ("101Y", "90+"), ("old", None), ("", None)],
)
def test_age_is_kept_by_decade(tmp_path, age, band):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds "old"
        path = write(tmp_path / "a.dcm", ramp(), PatientAge=age)
    assert read(path).meta.get("age_band") == band


def test_only_whitelisted_codes_leave_the_header(tmp_path, caplog):
    secret = {"PatientID": "ID-4711", "PatientName": "Secret^Person", "InstitutionName": "Secret Hospital"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom minds the view, free text in place of a code
        path = write(tmp_path / "a.dcm", ramp(), **secret, ViewPosition="Secret person, PA", PatientSex="F")
        wrong = write(tmp_path / "b.dcm", ramp(), **secret, Rows=17)
    scan = read(path)
    assert (scan.patient, dict(scan.meta)) == ("ID-4711", {"sex": "F", "modality": "DX"})
    with pytest.raises(DataError) as caught:
        read(wrong)
    assert not any(word in f"{caught.value}{caplog.text}" for word in ("4711", "Secret"))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"Rows": 0}, "claims a size of 0 x 16"),
        ({"Rows": 60000, "Columns": 60000}, "claims 60000 x 60000 pixels, more than"),
        ({"WindowCenter": "inf", "WindowWidth": "5"}, "header is incomplete or wrong"),
        ({"HighBit": 3}, "BitsAllocated, BitsStored and HighBit contradict"),
        ({"NumberOfFrames": 2}, "holds 2 frames"),
    ],
)
def test_impossible_headers_are_refused(tmp_path, header, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "a.dcm", ramp(), **header)
    with pytest.raises(DataError, match=reason):
        read(path)


def test_a_width_of_zero_is_no_window(tmp_path):
    window = {"WindowCenter": "0", "WindowWidth": "0"}
    assert np.array_equal(read(write(tmp_path / "a.dcm", ramp(), **window)).image[0], ramp())


def test_float_pixels_must_be_numbers(tmp_path):
    path = write(tmp_path / "a.dcm", ramp())
    dataset = dcmread(path)
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated, pixels = 32, ramp().astype(np.float32) / 7
    dataset.FloatPixelData = pixels.tobytes()
    dataset.save_as(path)
    assert np.array_equal(read(path).image[0], pixels)
    pixels[0, :3] = np.nan
    dataset.FloatPixelData = pixels.tobytes()
    dataset.save_as(path)
    with pytest.raises(DataError, match="3 NaN"):
        read(path)


def test_a_file_without_preamble_or_suffix_is_read(tmp_path):
    content = write(tmp_path / "a.dcm", ramp()).read_bytes()
    length = 12 + int.from_bytes(content[140:144], "little")
    (tmp_path / "IM0001").write_bytes(content[132 + length :])
    assert np.array_equal(read(tmp_path / "IM0001").image[0], ramp())


def test_a_deflate_bomb_is_refused_without_inflating_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dcm", ramp(), syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(zlib.decompress(content[start:], -15) + bytes(3 * 2**20)) + deflate.flush()
    path.write_bytes(content[:start] + bomb)
    assert read(path).image.shape == (1, 16, 16)
    monkeypatch.setattr("vesalius.data.dicom.MAX_PIXELS", 2**18)
    with pytest.raises(DataError, match="inflates to more"):
        read(path)


def test_look_up_is_the_function_itself():
    for dtype in SIGNED_AND_NOT:
        every = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
        assert np.array_equal(look_up(every, lambda x: x * 2.5 - 1), every * 2.5 - 1)


# the decoding process -----------------------------------------------------------------------------------------------


def test_a_decoder_that_died_is_started_again_and_a_hang_is_ended():
    path = shipped("MR_small_jpeg_ls_lossless.dcm")
    before = read(path).image
    first = decoder._decoders[0]
    os.kill(first._process.pid, 9)
    first._process.wait()
    assert np.array_equal(read(path).image, before)
    assert decoder._decoders[0] is not first
    with pytest.raises(ValueError, match="crashed or took too long"):
        decoder.Decoder()(path, seconds=0.01)
    decoder.close()
    assert not decoder._decoders
