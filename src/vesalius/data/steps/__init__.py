"""The steps that bring a raw scan to standard form; a name in STEPS is what checkpoints and caches write down."""

from vesalius.data.steps.body import Body, CropBody
from vesalius.data.steps.intensity import Grey, Narrow, Percentiles, ToUint8
from vesalius.data.steps.shape import Canonical, CropBorder, Dimensions, ResizeShort, Spacing
from vesalius.data.steps.step import Fit, Step

STEPS: dict[str, type[Step]] = {
    step.__name__: step
    for step in (
        Body,
        Canonical,
        CropBody,
        CropBorder,
        Dimensions,
        Grey,
        Narrow,
        Percentiles,
        ResizeShort,
        Spacing,
        ToUint8,
    )
}

__all__ = [
    "STEPS",
    "Body",
    "Canonical",
    "CropBody",
    "CropBorder",
    "Dimensions",
    "Fit",
    "Grey",
    "Narrow",
    "Percentiles",
    "ResizeShort",
    "Spacing",
    "Step",
    "ToUint8",
]
