"""A backbone over images and data sets: global, dense, at points."""

from vesalius.features.files import embed
from vesalius.features.vectors import SIDE, at_points, dense, evaluating, origins, patch_box, patches, pooled, sample

__all__ = ["SIDE", "at_points", "dense", "embed", "evaluating", "origins", "patch_box", "patches", "pooled", "sample"]
