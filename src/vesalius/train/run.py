"""All of an experiment, frozen: what `vesalius pretrain` takes, what is saved beside the weights, what --config re-reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from vesalius.errors import SettingError
from vesalius.methods import find
from vesalius.settings import least, replace, to_dict

C = TypeVar("C")


@dataclass(frozen=True)
class Optim:
    """The optimiser and its rate. Defaults: Adam's and MoCo-v2's reference code."""

    kind: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.03  # at the given batch: scale it yourself
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"  # cosine: per epoch, down to 0 at a stage's end
    warmup_epochs: float = 0.0  # per step, linear from 0, at the start of each stage
    clip: float = 0.0  # norm of the gradient; 0 = not clipped

    def __post_init__(self) -> None:
        least(self, 0, "lr", "momentum", "weight_decay", "warmup_epochs", "clip", where="optim.")


@dataclass(frozen=True)
class Probe:
    """Heads that learn masks on the encoder while it is trained (`vesalius.evaluate.online`). Defaults: vox2vec's (C: its
    reference code, P: its paper)."""

    data: str = ""  # with masks: PATH, NAME:PATH or NAME:PATH?option=value; without it, no probes
    every: int = 1000  # updates of the encoder between measurements of Dice: C, 10 epochs of 100
    steps: int = 1  # updates of the encoder for one of the heads: C
    holdout: float = 0.2  # share of the labelled patients on whom Dice is measured; the heads learn on the others
    patch: tuple[int, ...] = (128, 128, 32)  # sides, in voxels along x, y, z; 2-D takes the first two: P
    batch: int = 5  # patches a step, of one image: C
    lr: float = 3e-4  # of Adam, constant: C; so small that short runs want more

    def __post_init__(self) -> None:
        least(self, 1, "every", "steps", "patch", where="probe.")
        least(self, 2, "batch", where="probe.")  # norms want two
        least(self, 0, "lr", where="probe.")
        if not 0 < self.holdout < 1:
            remedy = "It is a share of the labelled patients: 0 < holdout < 1."
            raise SettingError(f"setting probe.holdout is {self.holdout}", remedy=remedy)


@dataclass(frozen=True)
class Run(Generic[C]):
    """Settings of one pretraining. What is "auto" is chosen by the machine, printed, and saved."""

    name: Annotated[str, tyro.conf.Suppress]  # the method: a file in vesalius/methods, or a dotted module of your own
    method: C  # that method's own settings
    data: Annotated[
        tuple[str, ...], tyro.conf.Suppress
    ] = ()  # PATH, NAME:PATH or NAME:PATH?option=value; several are mixed
    out: str = ""  # the run's folder
    backbone: str = "resnet50"
    ndim: int = 2
    in_channels: int = 3
    start: str = ""  # an encoder (run folder or .safetensors) to start from; default: random weights
    size: int = 512  # 2-D images are prepared with this short side, in pixels; smaller ones stay as they are
    grey: bool = True  # 2-D images become one channel; --no-grey for fundus photographs and other colour
    spacing: tuple[
        float, ...
    ] = ()  # 3-D images get voxels of this many mm along x, y, z; coarser ones stay as they are
    upsample: bool = False  # coarser ones get them too, by interpolation, which adds no detail
    body: bool = False  # CT is cropped to the body, and its mask kept; for CT in HU alone
    exclude_patients: str = ""  # a text file, one patient a line, kept out of training and validation
    holdout: float = 0.1  # share of patients whose loss is watched, never trained on; 0 = none
    epochs: int = 200  # of each stage
    batch: int | Literal["auto"] = 256  # images a step, over all processes; auto: the power of two up to 256 that fits
    accumulate: int = 1  # forward passes a step
    checkpointing: bool = False  # of an fpn: maps within blocks are made again in the backward pass, to save memory
    optim: Optim = field(default_factory=Optim)
    probe: Probe = field(default_factory=Probe)
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda
    devices: int = 1  # on each node
    nodes: int = 1
    precision: Literal["auto", "fp32", "bf16", "fp64"] = "auto"  # fp64 is for checks of exactness
    threads: int | Literal["auto"] = "auto"  # of the CPU; a resumed run needs the same number to be bit-identical
    workers: int | Literal["auto"] = "auto"  # processes that cut crops
    cache: str = ""  # folder of prepared images; default: $VESALIUS_CACHE or ~/.cache/vesalius
    save_minutes: float = 5.0  # between checkpoints
    save_steps: int = 0  # between checkpoints, in steps; 0 = by minutes alone
    log_steps: int = 10  # between lines of metrics.jsonl
    max_steps: int = 0  # stop a stage after so many steps; 0 = when its epochs are done
    tensorboard: bool = False  # needs the extra: pip install "vesalius[tensorboard]"

    def __post_init__(self) -> None:
        least(
            self, 1, "epochs", "batch", "accumulate", "devices", "nodes", "size", "log_steps", "in_channels", "threads"
        )
        least(self, 0, "workers", "save_minutes", "save_steps", "max_steps", "seed")
        if self.ndim not in (2, 3):
            raise SettingError(f"setting ndim is {self.ndim}", remedy="Images have 2 or 3 dimensions.")
        if self.probe.data and len(self.probe.patch) < self.ndim:
            remedy = f"Give {self.ndim} sides, in voxels."
            raise SettingError(f"setting probe.patch is {self.probe.patch}", remedy=remedy)
        if len(self.spacing) not in (0, 3) or not all(mm > 0 for mm in self.spacing):
            raise SettingError(f"setting spacing is {self.spacing}", remedy="Give mm along x, y and z.")
        if not 0 <= self.holdout < 1:
            raise SettingError(
                f"setting holdout is {self.holdout}", remedy="It is a share of patients: 0 <= holdout < 1."
            )
        if self.batch != "auto" and self.batch % (self.accumulate * self.devices * self.nodes):
            parts = f"accumulate {self.accumulate} x devices {self.devices} x nodes {self.nodes}"
            raise SettingError(f"setting batch is {self.batch}", remedy=f"It must be divisible by {parts}.")


def configure(name: str, values: Mapping[str, Any]) -> Run[Any]:
    """The settings of method `name` with `values` in place of defaults. SettingError: unknown key, wrong type.

    A method's own `DEFAULTS`, nested like `values`, come before those of `Run`, and in 3-D its `VOLUMES` before both.
    """
    module = find(name)
    start = replace(Run(name, module.Config()), getattr(module, "DEFAULTS", {}))
    start = replace(start, getattr(module, "VOLUMES", {}) if values.get("ndim") == 3 else {})
    return replace(start, {key: value for key, value in values.items() if key != "name"})


def read(path: Path) -> Run[Any]:
    """The settings saved in a run's config.json, or written by hand in the same form. SettingError."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        remedy = "Give the config.json of a run."
        raise SettingError(f"settings cannot be read ({error})", file=path, remedy=remedy) from error
    if not isinstance(values, dict) or not isinstance(values.get("name"), str):
        raise SettingError("settings do not name a method", file=path, remedy="Give the config.json of a run.")
    try:
        return configure(values["name"], values)
    except SettingError as error:
        raise SettingError(error.reason, file=path, remedy=error.remedy) from error


def as_json(run: Run[Any]) -> str:
    """The settings as JSON text."""
    return json.dumps(to_dict(run), indent=2) + "\n"
