"""The anatomy decomposer: halve the body, halve the halves, and so on: 2**n parts after n cuts.

Adam (Hosseinzadeh Taher et al., "Towards Foundation Models Learned from Anatomy in Medical Imaging via Self-supervision",
MICCAI-W 2023), figure 2. The first cut separates left from right; the next ones take the other axes in turn.
"""

from collections.abc import Sequence

from vesalius.errors import DataError, SettingError
from vesalius.space.box import Box

CUT_AXES = {
    2: (1, 0),
    3: (0, 2, 1),
}  # (row, column): columns, rows; (x, y, z): x, z, y, so a frontal projection is cut as in 2-D


def left_right(ndim: int) -> int:
    """The spatial axis that runs from one side of the body to the other: 1 in 2-D, 0 in 3-D."""
    return CUT_AXES[ndim][0]


def part(box: Box, n: int, index: int, axes: Sequence[int] | None = None) -> Box:
    """Part `index` of the 2**n parts of `box`; bit k of `index`, highest first, says which half to take at cut k.

    axes: the axes to cut, in turn (default: CUT_AXES). DataError where the part would be empty.
    """
    axes = axes or CUT_AXES[box.ndim]
    whole = box
    for cut in range(n):
        box = box.halve(axes[cut % len(axes)])[index >> (n - 1 - cut) & 1]
    if 0 in box.shape:
        raise DataError(f"an image of shape {whole.shape} cannot be halved {n} times", remedy="Lower the granularity.")
    return box


def parts(box: Box, n: int, axes: Sequence[int] | None = None) -> list[Box]:
    """The 2**n parts of `box` in the order of `part`: they tile it. SettingError for n < 0, DataError for an empty part."""
    if n < 0:
        raise SettingError(f"granularity {n} is below 0", remedy="Use 0 for the whole image.")
    check_granularity(box.shape, n, 1, axes)
    return [part(box, n, index, axes) for index in range(2**n)]


def check_granularity(
    shape: tuple[int, ...],
    n: int,
    least_side: int,
    axes: Sequence[int] | None = None,
    setting: str = "the granularity",
) -> None:
    """DataError unless every one of the 2**n parts of an image of `shape` has sides of at least `least_side` voxels.

    setting: what the remedy says to lower.
    """
    axes = axes or CUT_AXES[len(shape)]
    for axis, side in enumerate(shape):
        cuts = sum(axes[cut % len(axes)] == axis for cut in range(n))
        if side >> cuts < least_side:
            raise DataError(
                f"an image of shape {shape} cut into 2**{n} parts leaves {side >> cuts} voxels along axis {axis}, "
                f"fewer than the least side of {least_side}",
                remedy=f"Lower {setting}, or use images of at least {least_side << cuts} voxels along that axis.",
            )
