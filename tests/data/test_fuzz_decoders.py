"""Broken bytes give a Scan or a DataError: compiled decoders are fuzzed in a process of their own, where a crash shows.

`python tests/data/test_fuzz_decoders.py KIND FILES [SEED]` fuzzes longer, by hand.
"""

import io
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from vesalius.data.files import read
from vesalius.errors import DataError

GREY = (np.add.outer(np.arange(40) ** 2, 3 * np.arange(33)) % 251).astype(np.uint8)
RGB = np.dstack([GREY, GREY[::-1], 255 - GREY])
SLOWEST = 45.0  # seconds for one file on a busy machine; the decoding process is ended after 30


def picture(array, format, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=format, **options)
    return buffer.getvalue()


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def shipped(name):
    return Path(get_testdata_file(name, download=False)).read_bytes()


def originals(kind):
    """Small whole files of a kind."""
    exif = Image.Exif()
    exif[274] = 6
    if kind == "png":
        paletted = io.BytesIO()
        Image.fromarray(RGB).quantize(16).save(paletted, format="PNG")
        deep = picture(GREY.astype(np.uint16) * 257, "PNG", exif=exif)
        return [picture(GREY, "PNG"), deep, picture(RGB, "PNG"), paletted.getvalue()]
    if kind == "jpeg":
        plain = [picture(GREY, "JPEG"), picture(RGB, "JPEG", exif=exif)]
        return [*plain, picture(RGB, "JPEG", progressive=True)]
    if kind == "tiff":
        compressed = [
            picture(GREY, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
        ]
        jpeg = picture(RGB, "TIFF", compression="jpeg")
        return [tiff(GREY), tiff(RGB, photometric="rgb"), tiff(GREY / np.float32(3), tile=(16, 16)), *compressed, jpeg]
    if kind == "dicom":
        names = ("MR_small", "MR_small_RLE", "MR_small_jp2klossless", "SC_rgb_small_odd_jpeg", "image_dfl", "vlut_04")
        return [shipped(f"{name}.dcm") for name in names]
    if kind == "gdcm":
        return [shipped(f"{name}.dcm") for name in ("MR_small_jpeg_ls_lossless", "SC_rgb_jpeg_gdcm", "JPGExtended")]
    raise ValueError(kind)


def broken(whole, rng):
    """Some bytes replaced, near the head or anywhere; sometimes cut short or with a piece repeated."""
    content = bytearray(whole)
    reach = len(content) if rng.random() < 0.5 else min(len(content), 600)
    for place in rng.integers(0, reach, rng.choice([1, 2, 6, 30])):
        content[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    if rng.random() < 0.2:
        del content[rng.integers(len(content)) :]
    if rng.random() < 0.1:
        start = rng.integers(len(content) + 1)
        content[start:start] = content[start : start + rng.integers(1, 50)]
    return bytes(content)


def fuzz(kind, files, seed, folder):
    """Reads `files` broken files of a kind: how many gave a Scan, how many a DataError. Anything else escapes."""
    rng, wholes, scans, slowest = np.random.default_rng(seed), originals(kind), 0, 0.0
    path = Path(folder) / "broken"
    for i in range(files):
        path.write_bytes(broken(wholes[i % len(wholes)], rng))
        begin = time.monotonic()
        error = None
        try:
            scan = read(path)
        except DataError as caught:
            error = caught
        if error is not None:
            assert error.remedy
            assert "\n" not in str(error)
        else:
            scans += 1
            assert scan.ndim == 2
            assert scan.image.shape[0] in (1, 3)
            assert scan.image.size > 0
            assert np.isfinite(scan.image).all()
        slowest = max(slowest, time.monotonic() - begin)
        assert slowest < SLOWEST, f"file {i} took {slowest:.0f} s"
    return scans, files - scans, slowest


@pytest.mark.parametrize(("kind", "files"), [("png", 400), ("jpeg", 300), ("tiff", 350), ("dicom", 240), ("gdcm", 24)])
def test_broken_bytes_never_crash_nor_hang(kind, files):
    command = [sys.executable, __file__, kind, str(files)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    scans, errors = (int(word) for word in result.stdout.split()[:2])
    assert scans >= files // 20, "hardly any file got past its header: the test has lost its teeth"
    assert errors >= files // 20


if __name__ == "__main__":
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        print(*fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0, folder))
