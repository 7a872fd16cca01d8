"""A name or a file becomes a Backbone ready to use."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vesalius import checkpoint
from vesalius.checkpoint import Card
from vesalius.data.prepare import steps_from_json
from vesalius.data.steps import Step
from vesalius.errors import CheckpointError, SettingError
from vesalius.models.backbone import takes
from vesalius.settings import to_dict, unknown

# And fpn8x4, unet16x3: of width 8 or 16 at full resolution, with 4 or 3 levels.
BACKBONES = ("resnet18", "resnet34", "resnet50", "fpn", "fpn-finest", "unet")
UNTRAINED = ("scratch", "random")  # words in place of a run: a network with random weights (`template`)
Runs = Sequence[str | Path] | Mapping[str, str | Path]  # folders or files, or name -> folder or file


@dataclass(frozen=True)
class Loaded:
    """An encoder in eval mode, and the card that its weights carried."""

    backbone: Any
    card: Card

    @property
    def steps(self) -> list[Step]:
        """From a raw scan to what the encoder was trained to see. SettingError: a step that is not known here."""
        return steps_from_json(self.card.prepare)


def build(
    name: str, ndim: int = 2, in_channels: int = 3, mean: list[float] | None = None, std: list[float] | None = None
) -> Any:
    """A randomly initialised Backbone called `name` (see BACKBONES), drawn from torch's generator. Error: SettingError.

    mean, std: of each channel of images in 0..1; the network's own by default.
    """
    from vesalius.models import fpn, unet
    from vesalius.models.resnet import resnet

    pyramid, plain = fpn.NAME.fullmatch(name), unet.NAME.fullmatch(name)
    if name not in BACKBONES and not pyramid and not plain:
        raise unknown(name, name, BACKBONES, "backbone")
    if ndim not in (2, 3):
        raise SettingError(f"setting ndim is {ndim}", remedy="Images have 2 or 3 dimensions.")
    if pyramid:
        return fpn.fpn(name, ndim, in_channels, mean, std)
    if plain:
        return unet.unet(name, ndim, in_channels, mean, std)
    return resnet(int(name.removeprefix("resnet")), ndim, in_channels, mean, std)


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
    path = encoder_file(Path(source))
    tensors, card = checkpoint.read(path)
    if card.kind != "encoder":
        remedy = "Give the run's encoder.safetensors."
        raise CheckpointError(f"holds a {card.kind}, not an encoder", file=path, remedy=remedy)
    backbone = _described(card, path)
    checkpoint.load_strictly(
        backbone, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, path
    )
    return Loaded(backbone.eval(), card)


def named(runs: Runs, taken: Collection[str] = ()) -> list[tuple[str, str | Path]]:
    """Runs with their names: of the mapping, else of the folder or the file. SettingError: two have one, or one of `taken`."""
    found = list(runs.items()) if isinstance(runs, Mapping) else [(_name(run), run) for run in runs]
    names = [name for name, _ in found]
    if len(set(names)) < len(names) or set(names) & set(taken):
        remedy = "Rename the folders" + (f"; {', '.join(taken)} are taken." if taken else ".")
        raise SettingError(f"runs called {', '.join(names)} cannot be told apart", remedy=remedy)
    return found


def template(run: str | Path) -> str | None:
    """Of a word in place of a run, `random`, `scratch`, `random:RUN` or `scratch:RUN`, the run whose network is meant, with
    random weights: "" for the first one given. None: `run` is no such word, but a run."""
    word, _, of = str(run).partition(":")
    return of if word in UNTRAINED else None


def _name(run: str | Path) -> str:
    if of := template(run):
        return f"{str(run).partition(':')[0]} {_name(of)}"
    path = Path(run)
    return path.resolve().name if path.is_dir() else path.stem


def untrained(card: Card, seed: int) -> Any:
    """The network that an encoder's card describes, with random weights that follow from `seed`."""
    torch.manual_seed(seed)
    return build(**arguments(card))


def fingerprint(backbone: Any) -> str:
    """Of the weights: tells a run from the same run trained on."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in backbone.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def widened(loaded: Loaded, channels: int) -> Loaded:
    """An encoder of one channel for images of several, such as BraTS's four modalities; any other encoder as it is.

    Its first kernel is repeated and divided by their number. So an image that is the same in all channels gives the features
    of the grey image, and what batch norm knows stays true (PCRLv2's code does not divide: its norms are new).
    SettingError: fewer or more channels than an encoder of several was made for.
    """
    own = loaded.backbone.in_channels
    if takes(own, channels):
        return loaded
    if own != 1:
        remedy = "Give every image all of the channels, in the order of its training."
        raise SettingError(f"the images have {channels} channels and the encoder takes {own}", remedy=remedy)
    known = loaded.card.backbone
    about = {"in_channels": channels, "mean": known["mean"] * channels, "std": known["std"] * channels}
    card = replace(loaded.card, backbone={**known, **about})
    network = build(**arguments(card))
    tensors, wanted = loaded.backbone.state_dict(), network.state_dict()
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:  # the first kernel alone
            tensors[name] = tensor.expand(wanted[name].shape) / channels
    network.load_state_dict(tensors)
    return Loaded(network.eval(), card)


def arguments(card: Card) -> dict[str, Any]:
    """Those of `build` that give the network of an encoder's card. KeyError where it lacks one."""
    return {key: card.backbone[key] for key in ("name", "ndim", "in_channels", "mean", "std")}


def encoder_file(source: Path) -> Path:
    """The encoder of a run's folder, or the file itself. CheckpointError where a folder holds none."""
    if not source.is_dir():
        return source
    stages = sorted(source.glob("stage*.safetensors"))
    if not (source / "encoder.safetensors").exists():
        done = f"or give the encoder of a stage that did, {stages[-1]}" if stages else "or give a .safetensors file"
        remedy = f"Has its run finished? Go on with it (--resume), {done}."
        raise CheckpointError("is a folder without encoder.safetensors", file=source, remedy=remedy)
    return source / "encoder.safetensors"


def _described(card: Card, path: Path) -> nn.Module:
    """The network that a card describes, with random weights. CheckpointError where it describes none that we know."""
    try:
        backbone = build(**arguments(card))
    except (SettingError, KeyError, TypeError, ValueError) as error:
        remedy = "Was it written by another version of vesalius? Install that one."
        raise CheckpointError(f"describes no network known here ({error})", file=path, remedy=remedy) from error
    assert isinstance(backbone, nn.Module)
    return backbone


def export(source: Path, out: Path, bf16: bool = False) -> Path:
    """Write an encoder for use elsewhere: `out` (.safetensors, torchvision's and timm's names) and its settings (.json).

    The file is read back into a fresh network, and its features must equal the encoder's bit for bit: CheckpointError if
    not. bf16: kernels are rounded to bf16 first, and the file is half as large; the norms' vectors stay fp32.
    Left out: who the patients were, and anything that only this library understands.
    """
    if out.suffix != ".safetensors":
        raise SettingError("does not end in .safetensors", file=out, remedy="Weights are never written as a pickle.")
    loaded = load(source)
    tensors = loaded.backbone.state_dict()
    if bf16:
        tensors = {name: tensor.bfloat16() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
        loaded.backbone.load_state_dict(tensors)
    checkpoint.write(out, tensors, loaded.card)
    again = load(out).backbone
    torch.manual_seed(0)
    image = torch.rand(2, loaded.backbone.in_channels, *(64,) * loaded.backbone.ndim)
    with torch.inference_mode():
        pairs = zip(loaded.backbone(image), again(image), strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            raise CheckpointError("gives other features than the encoder", file=out, remedy="Please report this bug.")
    settings = {**to_dict(loaded.card.backbone), "unit": loaded.card.unit, "prepare": loaded.card.prepare}
    text = json.dumps({**settings, "method": loaded.card.method, "notices": loaded.card.notices}, indent=2)
    checkpoint.write_bytes(out.with_suffix(".json"), text.encode())
    return out
