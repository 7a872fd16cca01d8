"""`vesalius import`: from a file of somebody else's weights to an encoder with its card."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vesalius import checkpoint, zoo
from vesalius.checkpoint import Card
from vesalius.data.prepare import steps_for, steps_to_json
from vesalius.data.steps import Narrow, Step, ToUint8
from vesalius.errors import CheckpointError, SettingError
from vesalius.foreign.files import read
from vesalius.foreign.place import locate
from vesalius.foreign.report import Report, compare, other_name, shapes, some
from vesalius.settings import ascending, least, to_dict, within


@dataclass(frozen=True)
class Origin:
    """How the network saw images when it was trained; weights do not say. SettingError: a value that cannot be meant."""

    name: str = ""  # what to call it; default: the file's name
    mean: tuple[float, ...] = ()  # subtracted, per channel of images in 0..1; default: ImageNet's
    std: tuple[float, ...] = ()  # divided by, per channel of images in 0..1; default: ImageNet's
    size: int = 224  # side of the patch it was trained on, in pixels or voxels
    short_side: int = 512  # 2-D images are prepared with this short side, in pixels; smaller ones stay as they are
    grey: bool = True  # 2-D images become one channel, repeated for a network of 3; --no-grey keeps their colours
    spacing: tuple[float, ...] = ()  # 3-D images are prepared to voxels of so many mm: x y z; default: as they are
    window: tuple[float, ...] = ()  # LOW HIGH: HU that become 0..1; default: -1350 1000
    licence: str = ""  # of the weights, and whom to cite

    def __post_init__(self) -> None:
        within(self, 0, 1, "mean", "std")
        least(self, 1, "size", "short_side")
        within(self, 0.01, 1000, "spacing")
        within(self, -32768, 32767, "window")
        for name, count in (("spacing", 3), ("window", 2)):
            if len(getattr(self, name)) not in (0, count):
                raise SettingError(f"setting {name} is {getattr(self, name)}", remedy=f"Give {count} numbers.")
        if self.window:
            ascending(self, "window")


def import_weights(
    file: str | Path, architecture: str, out: str | Path, part: str = "", origin: Origin | None = None
) -> Report:
    """Write the `architecture` (one of zoo.BACKBONES) that `file` holds to `out`, NAME.safetensors, with a card.

    part: where in the file the network is, for files that hold several. No code of the file is ever run.
    Errors: CheckpointError for a file that cannot be read or does not fit, SettingError; nothing is written then.
    """
    file, out, origin = Path(file), Path(out), origin or Origin()
    names = list(shapes(architecture))
    _check(file, out)
    tensors = read(file)
    place = locate(tensors, names, part, file)
    report = compare(architecture, place, tensors, file)
    if report.misfit:
        fitting = other_name(architecture, place, tensors, file)
        remedy = f"It is a {fitting}: give --as {fitting}." if fitting else "Is it another network, or a damaged file?"
        raise CheckpointError(report.misfit, file=file, remedy=remedy)
    network = zoo.build(architecture, report.ndim, report.in_channels, list(origin.mean), list(origin.std))
    weights = {
        name: tensors[place.path(name)].to(own.dtype) if place.path(name) in tensors else torch.zeros_like(own)
        for name, own in network.state_dict().items()
    }
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        reason = f"holds NaN or infinite weights in {len(broken)} of {len(weights)} tensors ({some(broken)})"
        raise CheckpointError(reason, file=file, remedy="Its training went wrong: take an earlier checkpoint.")
    checkpoint.load_strictly(network, weights, file)
    checkpoint.write(out, network.state_dict(), _card(network, report, file, origin))
    return replace(report, out=str(out))


def _check(file: Path, out: Path) -> None:
    """What can be known to be wrong before the file is read."""
    if out.suffix != ".safetensors":
        raise SettingError("does not end in .safetensors", file=out, remedy="Weights are never written as a pickle.")
    if out.resolve() == file.resolve():
        raise SettingError("would be written over", file=file, remedy="Give another --out.")
    checkpoint.check_writable(out.parent)


def _card(network: Any, report: Report, file: Path, origin: Origin) -> Card:
    """As in the card of a run, config["method"]["size"] is the side of the patches that the network was trained on."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    own = {"name": origin.name or file.name.split(".")[0], "size": origin.short_side, "method": {"size": origin.size}}
    source = {"file": file.name, "sha256": digest, "part": report.part}
    return Card(
        backbone=zoo.description(report.architecture, network),
        prepare=steps_to_json(_steps(report, origin)),
        method="imported",
        config=to_dict(origin) | own | source,
        parent=file.name,
        notices=[f"Weights: {origin.licence}" if origin.licence else f"The licence of {file.name} was not given."],
    )


def _steps(report: Report, origin: Origin) -> tuple[Step, ...]:
    """What brings an image to the network's input."""
    if origin.spacing and report.ndim == 2:
        raise SettingError("spacing is given for a 2-D network", remedy="Leave --spacing out; there is --short-side.")
    grey = report.in_channels == 1 or (origin.grey and report.in_channels == 3)
    steps = steps_for(report.ndim, origin.short_side, origin.spacing or None, grey)
    if not origin.window:
        return steps
    kept = (step for step in steps if not isinstance(step, ToUint8 | Narrow))
    return (*kept, ToUint8(hu=(origin.window[0], origin.window[1])))
