"""Masks: boolean planes in the pixels of the image that they belong to, from picture files (PNG, GIF, TIFF) and from
label maps of volumes, which must be of their image's shape and lie where it lies.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from vesalius.data.scan import Array, Labels, Scan
from vesalius.errors import DataError

OWN_PIXELS = "Give a mask in the image's own pixels."
OWN_VOXELS = "Give it in the image's own voxels, with the image's own affine."
MISPLACED = 0.25  # of a voxel, at any corner: headers round by less, and centre taken for corner is 0.5


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


def read_volume_map(path: Path, scan: Scan, structures: Mapping[int, str]) -> Array:
    """(x, y, z) uint8 (uint16 where a value of `structures` exceeds 255): a value of `structures`, or 0, a voxel.

    DataError: unreadable, not of the scan's shape, not where the scan lies, or of other values than these.
    """
    from vesalius.data.files import read  # Pillow loads with it

    if not path.is_file():
        raise DataError("no such label map", file=path, remedy="Complete the download.")
    found = read(path)
    refuse_elsewhere(path, found, scan)
    if len(found.image) > 1:
        raise DataError(f"has {len(found.image)} channels", file=path, remedy="A label map has one value a voxel.")
    return _of_values(found.image[0], path, structures)


def refuse_elsewhere(path: Path, found: Scan, scan: Scan) -> None:
    """DataError unless `found`, read from `path`, has the scan's shape, and its voxels lie where the scan's lie."""
    if found.shape != scan.shape:
        sizes = [" x ".join(map(str, each.shape)) for each in (found, scan)]
        raise DataError(f"is {sizes[0]}, its image {sizes[1]}", file=path, remedy=OWN_VOXELS)
    if found.affine is None or scan.affine is None:
        if (found.affine is None) != (scan.affine is None):
            lacking = "the label map" if found.affine is None else "its image"
            raise DataError(f"cannot be placed: {lacking} has no affine", file=path, remedy=OWN_VOXELS)
        return
    corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in scan.shape))])
    apart = (np.linalg.solve(scan.affine, found.affine) @ corners.T).T - corners
    if (most := float(np.abs(apart).max())) > MISPLACED:
        reason = f"lies elsewhere than its image: their affines differ by up to {most:.3g} voxels"
        raise DataError(reason, file=path, remedy=OWN_VOXELS)


def volume_labels(values: Array, structures: Mapping[str, Collection[int]], unknown: Collection[str] = ()) -> Labels:
    """Labels of a label map (x, y, z). structures: name -> the values it is made of; unknown: those not contoured."""
    mask = np.zeros((len(structures), *values.shape), bool)
    for plane, (name, numbers) in zip(mask, structures.items(), strict=True):
        for number in () if name in unknown else numbers:
            plane |= values == number
    known = np.array([name not in unknown for name in structures], bool)
    return Labels(structures=tuple(structures), mask=mask, known=known)


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


def _of_values(image: Array, path: Path, structures: Mapping[int, str]) -> Array:
    """As unsigned integers. DataError for a value that is neither 0 nor in `structures`."""
    largest = max(structures, default=0)
    allowed = np.zeros(largest + 1, bool)
    allowed[[0, *structures]] = True
    least, most = image.min(), image.max()
    odd = next((value for value in (least, most) if not 0 <= value <= largest), None)
    if odd is None:
        values = image.astype(np.min_scalar_type(largest), copy=False)
        wrong = ~allowed[values]
        if image.dtype.kind == "f":
            wrong |= values != image
        if not wrong.any():
            return values
        odd = image[wrong].min()
    reason = f"holds the label {odd:g}, where 0 and {', '.join(map(str, sorted(structures)))} are known"
    raise DataError(reason, file=path, remedy="Name every structure, or correct the label map.")


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
