"""A name or a file becomes a Backbone ready to use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vesalius import checkpoint
from vesalius.checkpoint import Card
from vesalius.errors import CheckpointError, SettingError
from vesalius.settings import unknown

BACKBONES = ("resnet18", "resnet34", "resnet50")


@dataclass(frozen=True)
class Loaded:
    """An encoder in eval mode, and the card that its weights carried."""

    backbone: Any
    card: Card


def build(name: str, ndim: int = 2, in_channels: int = 3) -> Any:
    """A randomly initialised Backbone called `name` (see BACKBONES); draw from torch's generator. Error: SettingError."""
    from vesalius.models.resnet import resnet

    if name not in BACKBONES:
        raise unknown(f"backbone {name}", name, BACKBONES)
    if ndim not in (2, 3):
        raise SettingError(f"setting ndim is {ndim}", remedy="Images have 2 or 3 dimensions.")
    return resnet(int(name.removeprefix("resnet")), ndim, in_channels)


def description(name: str, backbone: Any) -> dict[str, Any]:
    """What a card says of `backbone`, enough for `build` and for a reader of the card."""
    return {
        "name": name,
        "ndim": backbone.ndim,
        "in_channels": backbone.in_channels,
        "channels": list(backbone.channels),
        "strides": list(backbone.strides),
        "mean": backbone.mean.tolist(),
        "std": backbone.std.tolist(),
    }


def load(source: str | Path) -> Loaded:
    """The encoder of a run folder or file, in eval mode, fp32, on the CPU. Error: CheckpointError says what misfits."""
    path = Path(source)
    if path.is_dir():
        path = path / "encoder.safetensors"
    tensors, card = checkpoint.read(path)
    if card.kind != "encoder":
        remedy = "Give the run's encoder.safetensors."
        raise CheckpointError(f"holds a {card.kind}, not an encoder", file=path, remedy=remedy)
    backbone = build(*(card.backbone[key] for key in ("name", "ndim", "in_channels")))
    assert isinstance(backbone, nn.Module)
    checkpoint.load_strictly(
        backbone, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, path
    )
    return Loaded(backbone.eval(), card)
