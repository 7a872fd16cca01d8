"""A backbone over images and data sets: global, dense, at points."""

from vesalius.features.files import embed
from vesalius.features.pyramids import pyramid
from vesalius.features.vectors import (
    SIDE,
    at_points,
    dense,
    evaluating,
    look_up,
    of_voxels,
    origins,
    patch_box,
    patches,
    pooled,
    sample,
)

__all__ = [
    "SIDE", "at_points", "dense", "embed", "evaluating", "look_up", "of_voxels", "origins", "patch_box", "patches", "pooled",
    "pyramid", "sample",
]  # fmt: skip
