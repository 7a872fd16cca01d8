"""What every 2-D reader does alike: broken bytes become a DataError, sizes are bounded, samples become (C, H, W)."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from PIL import Image

from vesalius.data.scan import Array
from vesalius.errors import DataError, VesaliusError

MAX_PIXELS = 89_478_485  # Pillow's own limit; a header that claims more is taken for a decompression bomb
BROKEN = "Copy or download the file again, or leave it out."
REDUCE = "If the size is real, reduce the image or cut it into tiles first."
_decoding = ContextVar("_decoding", default=False)


def silence(logger: str) -> None:
    """Drops what `logger` says inside `decoding`: it may quote a patient's header, and we raise what matters."""
    logging.getLogger(logger).addFilter(lambda record: not _decoding.get())


@contextmanager
def decoding(path: Path, format: str, *, quote: bool = True) -> Iterator[None]:
    """Whatever a decoder raises inside becomes a DataError; its warnings are silenced: they precede or repeat that.

    quote: add the decoder's own words, which must not be done where they may repeat what a header says of a patient.
    """
    token = _decoding.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except VesaliusError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(words(error), file=path, remedy=REDUCE) from None
    except MemoryError:
        raise DataError(f"does not fit in memory as {format}", file=path, remedy=REDUCE) from None
    except Exception as error:  # noqa: BLE001 - on broken bytes, decoders raise nearly every type there is
        said = words(error) if quote else f"its header is incomplete or wrong: {type(error).__name__}"
        reason = f"cannot be read as {format} ({said})"
        raise DataError(reason, file=path, remedy=BROKEN) from (error if quote else None)
    finally:
        _decoding.reset(token)


def words(error: Exception) -> str:
    """One line of what an exception says: the first, or the next where the first only announces it; else its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[1 if lines[0].endswith(":") and len(lines) > 1 else 0][:200].rstrip(".")


def refuse_size(path: Path, height: int, width: int) -> None:
    """DataError for an image without pixels, or with more than MAX_PIXELS, before anything is decoded."""
    if height < 1 or width < 1:
        raise DataError(f"claims a size of {height} x {width} pixels", file=path, remedy=BROKEN)
    if height * width > MAX_PIXELS:
        reason = f"claims {height} x {width} pixels, more than {MAX_PIXELS:,}"
        raise DataError(reason, file=path, remedy=REDUCE)


def refuse_not_finite(path: Path, image: Array) -> None:
    """DataError that counts NaN and infinite pixels, if there are any."""
    if image.dtype.kind != "f" or np.isfinite(image).all():
        return
    nan, infinite = int(np.isnan(image).sum()), int(np.isinf(image).sum())
    reason = f"{nan} NaN and {infinite} infinite values among {image.size} pixels"
    raise DataError(reason, file=path, remedy="Replace them by a number, or leave the file out.")


def full_scale(samples: Array, bits: int) -> Array:
    """Unsigned samples of `bits` significant bits -> uint8 (bits <= 8) or uint16 whose largest value means 1."""
    kind = np.uint8 if bits <= 8 else np.uint16
    if samples.dtype == kind and bits == np.iinfo(kind).bits:
        return samples
    scaled: Array = np.rint(samples * (np.iinfo(kind).max / (2**bits - 1)))
    return np.clip(scaled, 0, np.iinfo(kind).max).astype(kind)


def picture_samples(picture: Image.Image) -> Array:
    """(H, W) or (H, W, 3): grey as it is, one bit as 0 and 255, palettes, CMYK and transparent images as RGB."""
    if picture.mode in ("1", "LA"):
        return np.asarray(picture.convert("L"))
    if picture.mode in ("L", "F", "I", "RGB") or picture.mode.startswith("I;16"):
        return np.asarray(picture)
    return np.asarray(picture.convert("RGB"))


def channels_first(pixels: Array) -> Array:
    """(H, W) or (H, W, C) -> (1 or 3, H, W), contiguous: alpha is dropped, three equal channels become one.

    Dropped, not composited: no acquired value changes, and it is what `convert("RGB")` in the reference code does.
    """
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.ndim == 2:
        return np.require(pixels[None], requirements=["C", "W"])
    colours = pixels[..., :1] if pixels.shape[-1] < 3 else pixels[..., :3]
    if colours.shape[-1] == 3 and all(np.array_equal(colours[..., 0], colours[..., c]) for c in (1, 2)):
        colours = colours[..., :1]
    return np.require(np.moveaxis(colours, -1, 0), requirements=["C", "W"])


def oriented(pixels: Array, orientation: int) -> Array:
    """(H, W, ...) as stored -> upright, a view. orientation: 1..8 of EXIF and TIFF 6.0 tag 274; others mean 1."""
    if orientation in (5, 6, 7, 8):  # the first stored row is a column of the upright image
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
