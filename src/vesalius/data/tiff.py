"""Reads a TIFF of one page: uncompressed samples by tifffile, which knows every type; the rest by Pillow's libtiff."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from PIL.TiffImagePlugin import TiffImageFile

from vesalius.data.pixels import (
    channels_first,
    decoding,
    full_scale,
    oriented,
    picture_samples,
    refuse_not_finite,
    refuse_size,
    silence,
)
from vesalius.data.scan import Array, Scan
from vesalius.errors import DataError

_UNCOMPRESSED = 1
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274

silence("tifffile")


def read_tiff(file: BinaryIO, path: Path) -> Scan:
    """(1 or 3, H, W): uint8 and uint16 as "0..1", any other type as "arbitrary"; upright. DataError if not finite."""
    with decoding(path, "TIFF"), tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)  # the first page is never a frame
        images = max(len(tiff.pages), int((tiff.imagej_metadata or {}).get("images", 1)), page.imagedepth)
        if images > 1:
            remedy = "Split it into files of one image each."
            raise DataError(f"holds {images} images, and a 2-D scan is one", file=path, remedy=remedy)
        refuse_size(path, page.imagelength, page.imagewidth)
        plain = page.compression == _UNCOMPRESSED and page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
        plain = plain and page.dtype is not None and page.dtype.itemsize * 8 == page.bitspersample
        pixels = _plain(page, path) if plain else None
    if pixels is None:
        file.seek(0)
        pixels = _by_pillow(file, path)
    image = channels_first(pixels)
    refuse_not_finite(path, image)
    return Scan(image, "0..1" if image.dtype in (np.uint8, np.uint16) else "arbitrary")


def _plain(page: tifffile.TiffPage, path: Path) -> Array:
    """(H, W) or (H, W, C): uncompressed samples; missing strips are an error, where tifffile would fill in zeros."""
    stored, size = sum(page.databytecounts), page.parent.filehandle.size
    whole = all(a + n <= size for a, n in zip(page.dataoffsets, page.databytecounts, strict=True))
    if stored < page.nbytes or not whole:
        raise DataError("is truncated", file=path, remedy="Copy or download it again, or leave it out.")
    pixels = np.asarray(page.asarray())
    if page.samplesperpixel > 1 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    if page.photometric == _WHITE_IS_ZERO and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    orientation = page.tags.valueof(_ORIENTATION, 1)
    return oriented(pixels, orientation if isinstance(orientation, int) else 1)


def _by_pillow(file: BinaryIO, path: Path) -> Array:
    """(H, W) or (H, W, 3): anything libtiff decodes; Pillow turns it upright, but leaves 12 bits and white-is-zero."""
    with decoding(path, "TIFF"), TiffImageFile(file) as picture:
        bits = picture.tag_v2.get(_BITS_PER_SAMPLE, (8,))[0]
        inverted = picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        pixels = picture_samples(picture)
    if pixels.dtype.newbyteorder("=") != np.uint16:
        return pixels
    pixels = full_scale(pixels, bits) if bits < 16 else pixels
    return np.iinfo(np.uint16).max - pixels if inverted else pixels
