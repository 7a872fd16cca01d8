"""The known motions under which a measure is repeated: the paper claims that images need no alignment, so it is tested.

Each is drawn from a generator: a shift by 10 % of the short side in any direction, a rotation by 15 degrees to either side
(in 3-D about an axis drawn from the three), a zoom from 0.8 to 1.25, or all three. Zeros come in from outside.
"""

import numpy as np

from vesalius.space.warp import Matrix, about_centre, axis_rotation

CONDITIONS = ("upright", "shift", "rotation", "zoom", "all")
SHIFT, DEGREES, ZOOM = 0.10, 15.0, 1.25


def motion(condition: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
    """(ndim, ndim + 1): where each voxel of an upright image of `shape` goes under `condition`.

    The same numbers are drawn whatever the condition, so that "all" is the three together.
    """
    ndim = len(shape)
    direction = rng.normal(size=ndim)
    side, axis, zoom = rng.choice((-1.0, 1.0)), int(rng.integers(3)), ZOOM ** rng.uniform(-1, 1)
    shift, linear = np.zeros(ndim), np.eye(ndim)
    if condition in ("shift", "all"):
        shift = SHIFT * min(shape) * direction / np.linalg.norm(direction)
    if condition in ("rotation", "all"):
        linear = axis_rotation(side * DEGREES, axis, ndim)
    if condition in ("zoom", "all"):
        linear = zoom * linear
    return about_centre(linear, shift, shape)
