"""Which prepared scans training can use: of one kind, that the network takes, large enough for the method, and not all air."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from vesalius.data.cache import Entry
from vesalius.errors import DataError, SettingError
from vesalius.models.backbone import takes
from vesalius.progress import shower
from vesalius.train.run import Run
from vesalius.views.nested import Measured, holds_tissue

AIR = "holds nothing but air: below -150 HU, or 0.05 of 0..1. Look at its unit, or set method.tissue to 0 1."
FEW = 0.1  # a larger share of another kind is a wrong setting, not some odd files
Kind = tuple[int, str, str]


def unsuited(
    run: Run[Any],
    entries: Sequence[Entry],
    check_scan: Callable[..., None] | None,
    file: Callable[[int], str],
    scan: Callable[[int], Measured],
) -> dict[int, str]:
    """Place in `entries` -> why that scan cannot be used, for a few; SettingError or DataError where it is not a few.

    check_scan(shape, config): of the method, DataError for an image that is too small. file(place): what the user calls it.
    scan(place): whose voxels are looked at, if the method's setting `tissue` (least and largest share of a crop) asks for some.
    """
    kinds = Counter(map(_kind, entries))
    usual, count = kinds.most_common(1)[0]
    _check_channels(run, usual)
    if len(entries) - count > FEW * len(entries):
        listed = " and ".join(f"{number:,} of {_words(kind)}" for kind, number in kinds.most_common())
        remedy = f"Use data of one kind (inspect names those that differ){_or_grey(run)}."
        raise DataError(f"the images are of several kinds: {listed}", remedy=remedy)
    reasons = {shape: _too_small(shape, run.method, check_scan) for shape in {entry.shape[1:] for entry in entries}}
    found = {}
    for place, entry in enumerate(entries):
        if _kind(entry) != usual:
            found[place] = f"{_words(_kind(entry))}, while most images are of {_words(usual)}"
        elif reason := reasons[entry.shape[1:]]:
            found[place] = reason
    tissue = getattr(run.method, "tissue", None)
    if isinstance(tissue, tuple) and tissue[0] > 0:
        found |= _of_air([place for place in range(len(entries)) if place not in found], scan)
    if len(found) == len(entries):
        raise DataError(f"none of {len(entries)} images can be used; this one: {found[0].rstrip('.')}", file=file(0))
    return found


def _or_grey(run: Run[Any]) -> str:
    """The other remedy, of pictures that kept their colour."""
    return ", or leave out --no-grey, so that colour becomes grey" if run.ndim == 2 and not run.grey else ""


def _check_channels(run: Run[Any], kind: Kind) -> None:
    if not takes(run.in_channels, kind[0]):
        remedy = f"Set in_channels to {kind[0]} (--in-channels {kind[0]}){_or_grey(run)}."
        reason = f"the images have {kind[0]} channels and the network takes {run.in_channels}"
        raise SettingError(reason, remedy=remedy)


def _too_small(shape: tuple[int, ...], config: Any, check_scan: Callable[..., None] | None) -> str:
    """The method's reason against an image of `shape`; "" where there is none."""
    try:
        if check_scan is not None:
            check_scan(shape, config)
    except DataError as error:
        return f"{error.reason}. {error.remedy}"
    return ""


def _of_air(places: Sequence[int], scan: Callable[[int], Measured]) -> dict[int, str]:
    """Those of `places` without a voxel of tissue, and the reason. No crop of them is what the method asks for."""
    found, show = {}, shower("looking for images of air")
    for done, place in enumerate(places, 1):
        if not holds_tissue(scan(place)):
            found[place] = AIR
        show(done, len(places))
    return found


def _kind(entry: Entry) -> Kind:
    return entry.shape[0], entry.dtype, entry.unit


def _words(kind: Kind) -> str:
    channels, dtype, unit = kind
    return f"{channels} channel{'s' * (channels > 1)} of {dtype} in {unit}"
