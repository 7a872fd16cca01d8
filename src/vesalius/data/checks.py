"""One function a kind of trouble: what was seen of the images goes in, findings come out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesalius.data.body import AIR
from vesalius.data.datasets import Facts
from vesalius.data.duplicates import groups, near_pairs
from vesalius.data.examine import POLARITY_RULE, Looked, Unreadable
from vesalius.data.splits import overlaps

Group = tuple[str, ...]
# Shares of voxels at the greatest value, the least, either. 3,120 radiographs: below 0.06 and 0.45.
HIGH, LOW, BOTH = 0.2, 0.6, 0.9
TISSUE = (
    0.5  # share of `examine.soft_tissue` from which values are CT's, only shifted: CT has 0.8 to 0.95, MR below 0.2
)

OBLIQUE = 1.0  # degrees: over 300 mm that is 5 mm


@dataclass(frozen=True)
class Finding:
    """One kind of trouble. groups: the images, one by one or as pairs and groups that belong together."""

    kind: str
    severity: Literal["error", "warning", "note"]
    text: str
    groups: tuple[Group, ...] = ()


def readable(seen: Sequence[Looked | Unreadable]) -> Iterator[Finding]:
    """Files that cannot be read, each with its reason."""
    bad = [image for image in seen if isinstance(image, Unreadable)]
    if bad:
        text = f"{len(bad):,} images cannot be read and will be set aside"
        yield Finding("unreadable", "error", text, tuple((image.id, image.reason) for image in bad))


def copies(
    good: Sequence[Looked], patient: Mapping[str, str], splits: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Exact copies, then near copies among what is left; those between patients or splits are leaks."""
    split_of = {id: name for name, part in splits.items() for id in part}
    exact = [tuple(good[i].id for i in same) for same in groups([image.content for image in good])]
    first = {image.content: image for image in good if image.greatest > image.least}
    different = list(first.values())
    pairs = near_pairs(np.stack([image.thumbnail for image in different])) if different else []
    near = [(different[i].id, different[j].id) for i, j in pairs]
    for kind, found, how in (("exact duplicates", exact, "byte for byte"), ("near duplicates", near, "by appearance")):
        leaks = [g for g in found if len({patient[id] for id in g}) > 1 or len({split_of.get(id) for id in g}) > 1]
        rest = tuple(g for g in found if g not in set(leaks))
        if leaks:
            text = (
                f"{len(leaks):,} groups of images equal {how} under different patients or in different splits: a leak"
            )
            yield Finding(f"{kind}, leak", "error", text, tuple(leaks))
        if rest:
            yield Finding(kind, "warning", f"{len(rest):,} groups of images equal {how}, each of one patient", rest)


def values(good: Sequence[Looked]) -> Iterator[Finding]:
    """Constant, saturated, not finite, out of range, of mixed unit."""
    flat = [image for image in good if image.least == image.greatest]
    rest = [image for image in good if image.least < image.greatest]
    pictures = [image for image in rest if len(image.shape) == 2]  # much of a volume is air, or padding about it
    clipped = [i for i in pictures if i.high > HIGH or i.low > LOW or i.high + i.low > BOTH]
    broken = [image for image in good if image.not_finite]
    fraction = [i for i in good if i.unit == "0..1" and i.dtype.startswith("float")]
    outside = [image for image in fraction if image.least < 0 or image.greatest > 1]
    no_air = [image for image in good if image.unit == "HU" and image.least > AIR]
    clip = f"more than {HIGH:.0%} of voxels at the greatest value, {LOW:.0%} at the least or {BOTH:.0%} at either"
    for kind, images, what in (
        ("constant", flat, "images are constant"),
        ("saturated", clipped, f"images may be saturated or no scans ({clip})"),
        ("not finite", broken, "images hold NaN or infinity"),
        ("unit", outside, "images say 0..1 and leave it"),
        ("unit", no_air, "images say HU and have nothing near air (-1000)"),
    ):
        if images:
            yield Finding(kind, "warning", f"{len(images):,} {what}", tuple((image.id,) for image in images))
    units = Counter(image.unit for image in good)
    if len(units) > 1:
        listed = ", ".join(f"{unit}: {count:,}" for unit, count in units.items())
        yield Finding("unit", "warning", f"units are mixed ({listed}): prepare them apart")


def volumes(good: Sequence[Looked], facts: Facts | None = None) -> Iterator[Finding]:
    """What a set of volumes should not hold: flat images, nothing but air, CT whose values are not HU."""
    deep = [image for image in good if len(image.shape) == 3]
    pictures = [image for image in good if len(image.shape) != 3]
    if deep and pictures:
        few, kind = (pictures, "2-D images") if len(pictures) <= len(deep) else (deep, "volumes")
        text = f"{len(few):,} {kind} among {len(good) - len(few):,} of the other kind: they will be set aside"
        yield Finding("dimensions", "error", text, tuple((image.id, _sides(image)) for image in few))
    air = [image for image in deep if image.unit == "HU" and image.greatest < AIR]
    if air:
        text = f"{len(air):,} volumes are all air, none of their values {AIR:g} HU or more: pretraining sets them aside"
        yield Finding("air", "error", text, tuple((image.id, _range(image)) for image in air))
    yield from _not_hu(deep, facts)


def _not_hu(deep: Sequence[Looked], facts: Facts | None) -> Iterator[Finding]:
    """CT that is not in HU. Where nothing says what a volume is: what looks like CT, or lies among volumes in HU."""
    known = facts.modality if facts and facts.modality in ("CT", "MR") else ""
    other = [image for image in deep if image.unit != "HU" and (image.modality or known) in ("CT", "")]
    mixed = any(image.unit == "HU" for image in deep)
    ct = [i for i in other if (i.modality or known) == "CT" or i.tissue > TISSUE or mixed]
    if ct:
        text = (
            f"{len(ct):,} volumes are not in HU, though they seem to be CT: is their rescale intercept missing? With --body "
            "they will be set aside"
        )
        yield Finding("not HU", "warning", text, tuple((image.id, _range(image)) for image in ct))
    elif other:
        text = (
            f"{len(other):,} volumes are not in HU: right for MR, but CT must be; the files do not say which they are"
        )
        yield Finding("not HU", "note", text)


def geometry(good: Sequence[Looked]) -> Iterator[Finding]:
    """Volumes that do not say how they lie or how large their voxels are, and those that lie obliquely."""
    deep = [image for image in good if len(image.shape) == 3]
    lost = [image for image in deep if image.tilt is None]
    sizeless = [image for image in deep if image.spacing is None]
    oblique = [(image, image.tilt) for image in deep if image.tilt is not None and image.tilt > OBLIQUE]
    if lost:
        text = (
            f"{len(lost):,} volumes do not say how they lie in the patient: their axes are taken for right, anterior and "
            "superior, so left may be right. Convert them from DICOM anew, or write the affine into their headers"
        )
        yield Finding("orientation", "warning", text, tuple((i.id, "no orientation") for i in lost))
    if sizeless:
        text = (
            f"{len(sizeless):,} volumes do not say how large their voxels are: with --spacing they will be set aside, "
            "without it voxels are taken as they are. Write the spacing into their headers"
        )
        yield Finding("spacing", "warning", text, tuple((i.id, "no spacing") for i in sizeless))
    if oblique:
        text = (
            f"{len(oblique):,} volumes lie obliquely, by more than {OBLIQUE:g} degree: axes are permuted and flipped, never "
            "turned by less. Resample them to the patient's axes where that is too much"
        )
        yield Finding("oblique", "warning", text, tuple((i.id, f"{degrees:.1f} degrees") for i, degrees in oblique))


def _sides(image: Looked) -> str:
    return " x ".join(map(str, image.shape))


def _range(image: Looked) -> str:
    return f"values {image.least:g} to {image.greatest:g}"


def inverted(good: Sequence[Looked], facts: Facts | None) -> Iterator[Finding]:
    """Radiographs in which bone may be dark."""
    modality = facts.modality if facts else "unknown"
    if modality not in ("radiograph", "unknown"):
        return
    judged = [image for image in good if image.polarity is not None]
    dark = [image for image in judged if image.polarity is not None and image.polarity < 0]
    if dark:
        share = f"{len(dark):,} of {len(judged):,} grey images may be inverted (bone dark)"
        yield Finding("inverted", "warning", f"{share}. Rule: {POLARITY_RULE}", tuple((i.id,) for i in dark))


def patients(splits: Mapping[str, Sequence[str]], patient: Mapping[str, str]) -> Iterator[Finding]:
    """Patients on both sides of an official split, images on neither. patient: id -> identifier, which is not shown."""
    for (a, b), ids in overlaps(splits, patient.__getitem__).items():
        text = f"{len({patient[id] for id in ids}):,} patients are both in {a} and in {b}"
        if {a, b} == {"pretrain", "train"}:  # of PCRLv2's ratio protocol: neither is measured on
            yield Finding("patients", "note", f"{text}: labelled ones were seen in pretraining")
        else:
            yield Finding("patients", "error", f"{text}: a leak", tuple((id,) for id in ids))
    unassigned = len(patient) - len({id for part in splits.values() for id in part})
    if splits and unassigned:
        yield Finding("splits", "note", f"{unassigned:,} images are in no official split")


def published(facts: Facts | None, images: int, patients: int) -> Iterator[Finding]:
    """Counted against what is published."""
    for what, count, fact in (
        ("images", images, facts.images if facts else 0),
        ("patients", patients, facts.patients if facts else 0),
    ):
        if fact and fact != count:
            yield Finding("facts", "note", f"{count:,} {what} here, {fact:,} published")
