"""Grey as the header means it: windows, tables, bits, inversion and padding, against pydicom and closed forms."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from fakes.dicom import lut, ramp, shipped, write
from vesalius.data.files import read
from vesalius.data.grey import Window, look_up
from vesalius.errors import DataError

SIGNED_AND_NOT = (np.uint8, np.int8, np.uint16, np.int16)
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
    low, high = (float(apply_modality_lut(np.array(end), dataset)) for end in (ramp(dtype).min(), ramp(dtype).max()))
    with np.errstate(over="ignore"):  # pydicom's own sigmoid, far from its centre
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


def test_a_width_of_zero_is_no_window(tmp_path):
    window = {"WindowCenter": "0", "WindowWidth": "0"}
    assert np.array_equal(read(write(tmp_path / "a.dcm", ramp(), **window)).image[0], ramp())


def test_look_up_is_the_function_itself():
    for dtype in SIGNED_AND_NOT:
        every = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
        assert np.array_equal(look_up(every, lambda x: x * 2.5 - 1), every * 2.5 - 1)
