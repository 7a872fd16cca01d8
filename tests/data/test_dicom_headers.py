"""What a DICOM header adds to the image, what of it is kept, and which headers are refused."""

import warnings
import zlib

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fakes.dicom import ramp, write
from vesalius.data.files import read
from vesalius.errors import DataError


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
    caplog.clear()
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
