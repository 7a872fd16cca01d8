"""TIFF comes back as it was written, whatever its type, compression, photometric interpretation and layout."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from vesalius.data.files import read
from vesalius.data.pixels import MAX_PIXELS
from vesalius.errors import DataError

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=17)
quickly = settings(
    derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def random_grey(shape=(12, 9), dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def colours(array):
    """What one channel looks like in a file of three different ones."""
    return np.stack([array, np.flipud(array), np.iinfo(array.dtype).max - array], axis=-1)


DTYPES = (np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64)
FLOATS = {"allow_nan": False, "allow_infinity": False}


@quickly
@given(
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    byteorder=st.sampled_from("<>"),
    shape=SHAPES,
    rowsperstrip=st.sampled_from((None, 1, 3)),
)
def test_an_uncompressed_tiff_comes_back_as_it_was_written(tmp_path, data, dtype, byteorder, shape, rowsperstrip):
    array = data.draw(arrays(dtype, shape, elements=FLOATS if np.dtype(dtype).kind == "f" else None))
    tifffile.imwrite(
        tmp_path / "a.tif", array, byteorder=byteorder, rowsperstrip=rowsperstrip, photometric="minisblack"
    )
    scan = read(tmp_path / "a.tif")
    assert scan.image.dtype == dtype
    assert np.array_equal(scan.image[0], array)
    assert scan.unit == ("0..1" if dtype in (np.uint8, np.uint16) else "arbitrary")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "tiff_lzw", "packbits"])
def test_a_compressed_tiff_reads_as_the_uncompressed(tmp_path, dtype, compression):
    array = random_grey((40, 30), np.uint16).astype(dtype)
    Image.fromarray(array).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read(tmp_path / "a.tif").image[0], array)
    assert read(tmp_path / "a.tif").image.dtype == dtype


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_inverted(tmp_path, compression, dtype):
    array = random_grey(dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite", compression=compression)
    assert np.array_equal(read(tmp_path / "a.tif").image[0], np.iinfo(dtype).max - array)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_sixteen_bit_colour_tiff_keeps_its_bits(tmp_path, planarconfig):
    array = colours(random_grey(dtype=np.uint16))
    stored = array if planarconfig == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planarconfig)
    assert np.array_equal(read(tmp_path / "a.tif").image, np.moveaxis(array, -1, 0))


def test_several_pages_are_refused(tmp_path):
    for name, more in (("a.tif", {}), ("b.tif", {"imagej": True})):
        tifffile.imwrite(tmp_path / name, np.zeros((3, 20, 20), np.uint8), photometric="minisblack", **more)
        with pytest.raises(DataError, match=r"holds 3 images.*Split it"):
            read(tmp_path / name)


def test_pixels_that_are_no_numbers_are_counted(tmp_path):
    array = np.zeros((4, 5), np.float32)
    array[0, :2], array[1, 0] = np.nan, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", array)
    with pytest.raises(DataError, match=r"a\.tif: 2 NaN and 1 infinite values among 20 pixels\. Replace"):
        read(tmp_path / "a.tif")


def test_a_tiff_that_claims_too_many_pixels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        for tag in ("ImageLength", "ImageWidth"):
            tiff.pages[0].tags[tag].overwrite(10_000)
    assert MAX_PIXELS < 10_000**2
    with pytest.raises(DataError, match="claims 10000 x 10000 pixels"):
        read(tmp_path / "a.tif")
