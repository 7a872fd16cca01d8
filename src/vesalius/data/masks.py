"""Masks from picture files (PNG, GIF, TIFF): boolean planes in the pixels of the image that they belong to."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vesalius.data.scan import Array, Labels
from vesalius.errors import DataError

OWN_PIXELS = "Give a mask in the image's own pixels."


def read_mask(path: Path, shape: tuple[int, ...], coarse: bool = False) -> Array:
    """(H, W) bool of one structure. coarse: it may be drawn on every n-th pixel alone, and is then enlarged.

    DataError: unreadable, not of `shape` (coarse: nor a whole part of it), or of more values than 0 and one other.
    """
    values = _pixels(path, shape, colours=True, coarse=coarse)
    if len(found := np.unique(values[values != 0])) > 1:
        shown = f"{', '.join(map(str, found[:4]))}{', ...' if len(found) > 4 else ''}"
        raise DataError(f"holds 0 and {shown}", file=path, remedy="A mask of one structure is 0 and one other value.")
    plane: Array = values != 0
    return plane


def read_label_map(path: Path, shape: tuple[int, ...], structures: int) -> Array:
    """(structures, H, W) bool: pixels of value 1, 2, ... in this order. DataError as above, or for a value beyond."""
    values = _pixels(path, shape, colours=False)
    if int(values.max()) > structures:
        reason = f"holds the label {int(values.max())}, out of range 0 to {structures}"
        raise DataError(reason, file=path, remedy="Name every structure, in the order of the values.")
    return np.stack([values == value for value in range(1, structures + 1)])


def read_bits(path: Path, shape: tuple[int, ...], structures: int) -> Array:
    """(structures, H, W) bool: structure k where bit k of a pixel is set, so that they may overlap. DataError as above."""
    values = _pixels(path, shape, colours=False)
    if int(values.max()) >= 1 << structures:
        reason = f"holds the value {int(values.max())}, out of range 0 to {(1 << structures) - 1}"
        raise DataError(reason, file=path, remedy="One bit a structure, in their order.")
    return np.stack([(values >> bit & 1).astype(bool) for bit in range(structures)])


def mask_labels(planes: Mapping[str, Array | None], classes: Mapping[str, float] | None = None) -> Labels:
    """Labels of structure -> (H, W) bool, or None where it was not contoured. All None: no mask at all."""
    first = next((plane for plane in planes.values() if plane is not None), None)
    if first is None:
        return Labels(classes=classes or {})
    mask = np.stack([np.zeros_like(first) if plane is None else plane for plane in planes.values()])
    known = np.array([plane is not None for plane in planes.values()])
    return Labels(classes=classes or {}, structures=tuple(planes), mask=mask, known=known)


def refuse_unpaired(images: Iterable[str], masks: Iterable[str], folder: Path, what: str) -> None:
    """DataError for the first image without its mask, or mask without its image: a part of the download is absent."""
    images, masks = set(images), set(masks)
    for lonely, lack in ((sorted(images - masks), what), (sorted(masks - images), "image")):
        if lonely:
            reason = f"no {lack} of {lonely[0]} ({len(lonely):,} are absent)"
            raise DataError(reason, file=folder, remedy="Complete the download.")


def _pixels(path: Path, shape: tuple[int, ...], colours: bool, coarse: bool = False) -> Array:
    """(H, W) unsigned, of `shape`. colours: of a palette, the grey of the colour; else the number of its entry."""
    from PIL import Image

    from vesalius.data.pixels import decoding, refuse_size

    if not path.is_file():
        raise DataError("no such mask", file=path, remedy="Complete the download, or correct the table.")
    with decoding(path, "a mask"), Image.open(path) as picture:
        refuse_size(path, picture.height, picture.width)
        values = np.asarray(picture.convert("L") if colours or picture.mode in ("1", "LA") else picture)
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise DataError(f"is {values.dtype} {values.shape}, not grey", file=path, remedy="Save it as 8-bit grey.")
    return _enlarged(values, path, shape, coarse)


def _enlarged(values: Array, path: Path, shape: Sequence[int], coarse: bool) -> Array:
    times = shape[0] // values.shape[0] if coarse else 1
    if tuple(side * times for side in values.shape) != tuple(shape):
        size = " x ".join(map(str, values.shape))
        raise DataError(f"is {size}, its image {' x '.join(map(str, shape))}", file=path, remedy=OWN_PIXELS)
    return values if times == 1 else values.repeat(times, axis=0).repeat(times, axis=1)
