"""Pictures come back as they were written; whatever is no picture is named with its reason."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from vesalius.data.files import find, is_image, read, write_png
from vesalius.data.pixels import full_scale, oriented
from vesalius.errors import DataError

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=17)
REAL = Path(__file__).parents[3] / "shared" / "data" / "cxr"
quickly = settings(
    derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def random_grey(shape=(12, 9), dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def colours(array):
    """What one channel looks like in a file of three different ones."""
    return np.stack([array, np.flipud(array), np.iinfo(array.dtype).max - array], axis=-1)


@quickly
@given(array=arrays(np.uint8, SHAPES) | arrays(np.uint16, SHAPES))
def test_a_png_comes_back_as_it_was_written(tmp_path, array):
    write_png(tmp_path / "a.png", array)
    scan = read(tmp_path / "a.png")
    assert scan.image.dtype == array.dtype
    assert np.array_equal(scan.image, array[None])
    assert (scan.unit, scan.spacing, scan.ndim) == ("0..1", None, 2)


@quickly
@given(array=arrays(np.uint8, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9))))
def test_colour_comes_back_and_equal_channels_are_one(tmp_path, array):
    write_png(tmp_path / "a.png", array)
    grey = bool((array == array[0]).all())
    assert np.array_equal(read(tmp_path / "a.png").image, array[:1] if grey else array)


def test_write_png_takes_masks_and_refuses_what_png_cannot_hold(tmp_path):
    write_png(tmp_path / "a.png", np.eye(4, dtype=bool)[None])
    assert np.array_equal(read(tmp_path / "a.png").image[0], 255 * np.eye(4, dtype=np.uint8))
    for array in (np.zeros((3, 4, 4), np.uint16), np.zeros((4, 4)), np.zeros((2, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="PNG holds"):
            write_png(tmp_path / "b.png", array)


def test_write_png_leaves_the_old_file_where_the_disk_refuses(tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", np.full((4, 4), 7, np.uint8))

    def full(self, file, format):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match=r"a\.png: cannot be written .No space left on device"):
        write_png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert read(tmp_path / "a.png").image.max() == 7


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_near_what_was_written(tmp_path, mode):
    row, column = np.mgrid[:64, :48]
    smooth = (127 + 60 * np.sin(row / 9) + 60 * np.cos(column / 7)).astype(np.uint8)
    array = smooth if mode == "L" else colours(smooth)
    Image.fromarray(array).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    image = read(tmp_path / "a.jpg").image
    assert image.shape == ((1, 64, 48) if mode == "L" else (3, 64, 48))
    assert np.abs(np.moveaxis(image, 0, -1).squeeze() - array.astype(float)).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_what_pillow_says_and_holds_in_every_format(tmp_path, orientation):
    array = random_grey((6, 4))
    upright = {1: "...", 2: "h", 3: "hv", 4: "v", 5: "t", 6: "th", 7: "thv", 8: "tv"}[orientation]
    expected = array
    for turn in upright.strip("."):
        expected = {"h": np.fliplr, "v": np.flipud, "t": np.transpose}[turn](expected)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", array, extratags=[tag])
    tifffile.imwrite(tmp_path / "b.tif", array, extratags=[tag], compression="zlib")
    for name in ("a.png", "a.tif", "b.tif"):
        assert np.array_equal(read(tmp_path / name).image[0], expected), name
    assert np.array_equal(oriented(array, orientation), expected)


def test_a_turned_jpeg_is_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright: turn clockwise
    array = np.zeros((16, 32), np.uint8)
    array[:, :8] = 255  # left, so it belongs at the top
    Image.fromarray(array).save(tmp_path / "a.jpg", exif=exif)
    image = read(tmp_path / "a.jpg").image[0]
    assert image.shape == (32, 16)
    assert image[:8].mean() > 250 > 5 > image[8:].mean()


def test_one_bit_palettes_transparency_and_cmyk(tmp_path):
    grey, alpha = random_grey(), random_grey()[::-1]
    rgb = colours(grey)
    pictures = {
        "bits.png": (Image.fromarray(grey > 99), 255 * (grey[None] > 99)),
        "rgba.png": (Image.fromarray(np.dstack([rgb, alpha])), np.moveaxis(rgb, -1, 0)),
        "la.png": (Image.fromarray(np.dstack([grey, alpha])), grey[None]),
        "grey.png": (Image.fromarray(np.dstack([grey] * 3)), grey[None]),
    }
    for name, (picture, expected) in pictures.items():
        picture.save(tmp_path / name)
        assert np.array_equal(read(tmp_path / name).image, expected), name
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert read(tmp_path / "cmyk.jpg").image.shape == (3, 12, 9)


def test_a_palette_of_greys_is_grey_and_one_of_colours_is_not(tmp_path):
    entries = random_grey() % 4
    picture = Image.fromarray(entries).convert("P")
    for name, palette in {
        "grey.png": [[9, 9, 9], [50, 50, 50], [3, 3, 3], [200, 200, 200]],
        "c.png": [[1, 2, 3]] * 4,
    }.items():
        picture.putpalette(np.array(palette, np.uint8).tobytes())
        picture.save(tmp_path / name)
        expected = np.moveaxis(np.array(palette, np.uint8)[entries], -1, 0)
        assert np.array_equal(read(tmp_path / name).image, expected[:1] if name == "grey.png" else expected)


def test_full_scale_of_twelve_bits_ends_at_the_top():
    samples = np.array([0, 1, 2048, 4095], np.uint16)
    assert full_scale(samples, 12).tolist() == [0, 16, round(2048 * 65535 / 4095), 65535]
    assert full_scale(np.array([0, 1], np.uint8), 1).tolist() == [0, 255]
    assert full_scale(samples, 16) is samples


def test_content_decides_not_the_suffix(tmp_path):
    write_png(tmp_path / "a.png", random_grey())
    for name in ("a.jpg", "a.dcm", "a", "a.nii.gz"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
        assert np.array_equal(read(tmp_path / name).image[0], random_grey())


def test_find_sees_images_by_suffix_or_content_and_nothing_else(tmp_path):
    (tmp_path / "b").mkdir()
    write_png(tmp_path / "b" / "no_suffix", random_grey())
    for name in ("empty.PNG", "volume.nii.gz", "labels.csv", ".hidden.png", "DICOMDIR", "b/._x.png", "b/notes"):
        (tmp_path / name).write_bytes(b"" if name == "empty.PNG" else b"some,text\n")
    (tmp_path / "b" / "round").symlink_to(tmp_path, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in find(tmp_path)]
    assert found == ["empty.PNG", "volume.nii.gz", "b/no_suffix"]
    assert not is_image(tmp_path / "labels.csv")


def png(chunks):
    """A PNG of (type, data) chunks."""
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def header(width, height):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)


BAD = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"hello, I am no image at all", "is not a PNG, JPEG, TIFF or DICOM image"),
    "short.png": (b"\x89PNG\r\n\x1a\n", "cannot be read as PNG"),
    "bomb.png": (
        png([header(30_000, 30_000), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")]),
        "900000000 pixels. exceeds",
    ),
    "side.png": (png([header(2**31 - 1, 2**31 - 1), (b"IDAT", b""), (b"IEND", b"")]), "pixels. exceeds limit"),
    "short.tif": (b"II*\0\x08\0\0\0", "cannot be read as TIFF"),
    "ring.tif": (b"II*\0\x08\0\0\0\x00\0\x08\0\0\0", "claims a size of 0 x 0"),
    "short.dcm": (bytes(128) + b"DICM", "DICOM|no image"),
    "a.nii": (bytes(344) + b"n+1\0" + bytes(10), "is a volume whose NIfTI header is broken"),
    "a.nii.gz": (b"\x1f\x8b" + bytes(400), "cannot be read as a NIfTI volume"),
    "a.nrrd": (b"NRRD0004\n", "cannot be read as a volume in NRRD form"),
    "a.mha": (b"ObjectType = Image\n", "cannot be read as a volume in MetaImage form"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_reason_and_remedy(tmp_path, name):
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path / name)
    assert caught.value.file == str(tmp_path / name)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_truncated_picture_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(random_grey((64, 64))).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"cannot be read as|is truncated"):
        read(path)


def test_missing_folder_and_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    for name, reason in (
        ("none.png", "is not there"),
        ("", "is a folder without DICOM slices"),
        ("pipe.png", "is no file"),
    ):
        with pytest.raises(DataError, match=reason):
            read(tmp_path / name)


@pytest.mark.parametrize("forbidden", ["folder", "folder/a.png"])
def test_forbidden(tmp_path, forbidden):
    (tmp_path / "folder").mkdir()
    write_png(tmp_path / "folder" / "a.png", random_grey())
    (tmp_path / forbidden).chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may read everything: look as nobody
        with pytest.raises(DataError, match=r"cannot be opened \(Permission denied\)"):
            read(tmp_path / "folder" / "a.png")
    finally:
        os.seteuid(user)
        (tmp_path / forbidden).chmod(0o700)


@pytest.mark.parametrize("source", ["nih", "hannover", "kermany", "wingspan"])
def test_real_radiographs_are_upright_grey_and_writable(source):
    paths = sorted((REAL / source).rglob("*.jp*g"))[:5]
    if not paths:
        pytest.skip(f"no real radiographs at shared/data/cxr/{source}")
    for path in paths:
        image = read(path).image
        assert image.dtype == np.uint8
        assert image.shape[0] in (1, 3)
        assert min(image.shape[1:]) >= 200
        assert image.std() > 10
        assert image.flags.writeable
        assert image.flags.c_contiguous
