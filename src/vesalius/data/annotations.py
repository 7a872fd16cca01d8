"""Annotations that come as JSON and as polygons: read with errors that name the file, drawn without OpenCV."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.data.scan import Array
from vesalius.errors import DataError


def read_json(path: Path) -> Any:
    """What a JSON file holds. DataError: absent, cut off, not UTF-8."""
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path, remedy="Check the path.") from None
    except ValueError as error:  # of the decoder of text or of JSON
        raise DataError(f"is not JSON ({error})", file=path, remedy="Download it again.") from None


def fill(polygons: Iterable[Sequence[Sequence[float]]], shape: Sequence[int]) -> Array:
    """(H, W) bool: pixels in any of the polygons, whose corners are (x, y) in pixels. ValueError: not finite.

    Corners are cut to whole pixels and the edge belongs to the inside, as OpenCV's fillPoly has it; what lies outside of
    the image is clipped.
    """
    from PIL import Image, ImageDraw

    height, width = shape
    picture = Image.new("1", (width, height))
    draw = ImageDraw.Draw(picture)
    for polygon in polygons:
        corners = [(int(x), int(y)) for x, y in polygon if math.isfinite(x + y) or _refuse(x, y)]
        if corners:  # Pillow wants two corners at least: a single one is a pixel
            draw.polygon(corners if len(corners) > 1 else 2 * corners, fill=1, outline=1)
    return np.array(picture, bool)


def _refuse(x: float, y: float) -> bool:
    raise ValueError(f"the corner ({x}, {y}) is not finite")
