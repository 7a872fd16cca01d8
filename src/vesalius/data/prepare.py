"""Raw scan -> standard scan, by a list of steps; labels go the same way, and results come back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from vesalius.data.scan import Array, Labels, Scan
from vesalius.data.steps import (
    STEPS,
    Body,
    Canonical,
    CropBody,
    CropBorder,
    Dimensions,
    Fit,
    Grey,
    Narrow,
    Percentiles,
    ResizeShort,
    Spacing,
    Step,
    ToUint8,
)
from vesalius.errors import DataError, SettingError
from vesalius.settings import from_dict, to_dict

Trace = tuple[tuple[str, Fit], ...]
RADIOGRAPH: tuple[Step, ...] = (Dimensions(2), Grey(), ResizeShort(), ToUint8())
FUNDUS: tuple[Step, ...] = (Dimensions(2), CropBorder(), ResizeShort(), ToUint8())
VOLUME: tuple[Step, ...] = (Dimensions(3), Canonical(), Narrow(), Percentiles())
CT: tuple[Step, ...] = (Dimensions(3), Canonical(), CropBody(), Spacing(), Narrow(), Body())  # vox2vec's


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan in standard form, and what each step did to it: (name, fit), in JSON's types."""

    scan: Scan
    trace: Trace


def steps_for(
    ndim: int,
    size: int = 512,
    spacing: tuple[float, ...] | None = None,
    grey: bool = True,
    body: bool = False,
    upsample: bool = False,
) -> tuple[Step, ...]:
    """The default steps. 2-D: grey (or colour), short side `size`, uint8. 3-D: RAS+, `spacing` mm if given, int16 HU, or,
    where values are on an arbitrary scale, 0..1 between two percentiles.

    body, for CT alone: cropped to what is no air, with the body mask kept beside the image. upsample: voxels coarser than
    `spacing` are made finer too. SettingError: there is no spacing that they could be brought to.
    """
    if upsample and (ndim == 2 or not spacing):
        raise SettingError(
            "setting upsample is True", remedy="It is for volumes: give spacing, mm along x, y and z, too."
        )
    if ndim == 2:
        return (Dimensions(2), *((Grey(),) if grey else ()), ResizeShort(size), ToUint8())
    crop, end = ((CropBody(),), (Body(),)) if body else ((), (Percentiles(),))
    return (Dimensions(ndim), Canonical(), *crop, *((Spacing(spacing, upsample),) if spacing else ()), Narrow(), *end)


def prepare(scan: Scan, steps: Sequence[Step]) -> Prepared:
    """Every step in turn. DataError: an empty image, values that are not finite, or a step that cannot be applied.

    SettingError: a step that moves voxels after the one that makes the body mask.
    """
    check(scan)
    trace = []
    for step in steps:
        if scan.body is not None and type(step).mask is not Step.mask:
            raise SettingError(f"step {type(step).__name__} moves voxels after the body mask", remedy="Put Body last.")
        fit = step.fit(scan)
        scan = replace(scan, image=step.image(scan.image, fit), **step.about(scan, fit))
        trace.append((type(step).__name__, fit))
    return Prepared(replace(scan, image=np.ascontiguousarray(scan.image)), tuple(trace))


def check(scan: Scan) -> None:
    """DataError unless the image has voxels, real numbers, and all of them finite."""
    image = scan.image
    if image.size == 0:
        raise DataError(f"an empty image of shape {image.shape}", file=scan.id, remedy="Replace or remove the file.")
    if image.dtype.kind not in "uif":
        raise DataError(f"values of type {image.dtype}", file=scan.id, remedy="Store integers or real numbers.")
    bad = 0 if image.dtype.kind != "f" else int(image.size - np.isfinite(image).sum())
    if bad:
        reason = f"{bad} of {image.size} values are NaN or infinite"
        raise DataError(reason, file=scan.id, remedy="Replace them or remove the file.")


def prepare_labels(labels: Labels, steps: Sequence[Step], trace: Trace) -> Labels:
    """Masks, landmarks and boxes of a raw scan, in the space of the prepared one."""
    return replace(
        labels,
        mask=None if labels.mask is None else prepare_mask(labels.mask, steps, trace),
        landmarks={name: prepare_points(p[None], steps, trace)[0] for name, p in labels.landmarks.items()},
        boxes={name: prepare_boxes(b, steps, trace) for name, b in labels.boxes.items()},
    )


def prepare_mask(mask: Array, steps: Sequence[Step], trace: Trace) -> Array:
    """(K, *S) in raw space -> (K, *S') in prepared space."""
    for step, (_, fit) in zip(steps, trace, strict=True):
        mask = step.mask(mask, fit)
    return mask


def prepare_points(points: Array, steps: Sequence[Step], trace: Trace) -> Array:
    """(N, ndim) voxel coordinates in raw space -> prepared space."""
    for step, (_, fit) in zip(steps, trace, strict=True):
        points = step.points(points, fit)
    return points


def prepare_boxes(boxes: Array, steps: Sequence[Step], trace: Trace) -> Array:
    """(N, 2 * ndim) start and stop in raw voxels -> prepared voxels, not rounded: a box's faces move as points do."""
    half = boxes.shape[1] // 2
    a, b = (prepare_points(face - 0.5, steps, trace) + 0.5 for face in (boxes[:, :half], boxes[:, half:]))
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1)


def restore_image(image: Array, steps: Sequence[Step], trace: Trace) -> Array:
    """(C', *S') prepared -> (C, *S) raw, as near as the steps allow; maps of probability go through restore_mask."""
    for step, (_, fit) in zip(reversed(steps), reversed(trace), strict=True):
        image = step.image_back(image, fit)
    return image


def restore_mask(mask: Array, steps: Sequence[Step], trace: Trace) -> Array:
    """(K, *S') in prepared space -> (K, *S) in raw space; floats (probabilities) are interpolated."""
    for step, (_, fit) in zip(reversed(steps), reversed(trace), strict=True):
        mask = step.mask_back(mask, fit)
    return mask


def restore_points(points: Array, steps: Sequence[Step], trace: Trace) -> Array:
    """(N, ndim) voxel coordinates in prepared space -> raw space."""
    for step, (_, fit) in zip(reversed(steps), reversed(trace), strict=True):
        points = step.points_back(points, fit)
    return points


def steps_to_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """[{"name": ..., field: value, ...}, ...]"""
    return [{"name": type(step).__name__, **to_dict(step)} for step in steps]


def steps_from_json(rows: Sequence[dict[str, Any]]) -> list[Step]:
    """The inverse of `steps_to_json`. SettingError: an unknown step or field, or a value of the wrong type."""
    steps = []
    for row in rows:
        name = row.get("name", "")
        if name not in STEPS:
            near = get_close_matches(str(name), STEPS, n=1) or sorted(STEPS)
            raise SettingError(f"unknown prepare step {name!r}", remedy=f"Known: {', '.join(near)}.")
        steps.append(from_dict(STEPS[name], {k: v for k, v in row.items() if k != "name"}, where=f"{name}."))
    return steps
