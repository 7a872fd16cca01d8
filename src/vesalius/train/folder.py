"""A run's folder: what lies in it, refusing to write over another run, saving and going on."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesalius import checkpoint
from vesalius.checkpoint import Card
from vesalius.errors import CheckpointError, SettingError
from vesalius.settings import to_dict
from vesalius.train.run import Run, as_json, read

MAY_DIFFER = frozenset(
    {"out", "device", "devices", "nodes", "precision", "threads", "workers", "cache", "save_minutes", "save_steps"}
    | {"log_steps", "tensorboard", "max_steps"}
)


@dataclass(frozen=True)
class Place:
    """Where a run stands: the next step of a stage, and the best validation loss so far (inf without one)."""

    stage: int = 0
    step: int = 0
    best: float = float("inf")


@dataclass(frozen=True)
class Folder:
    """config.json, metrics.jsonl, last.safetensors (to resume), encoder.safetensors (the result), one a stage, logs."""

    path: Path

    @property
    def last(self) -> Path:
        """Everything needed to go on."""
        return self.path / "last.safetensors"

    @property
    def encoder(self) -> Path:
        """The result: backbone weights with their card."""
        return self.path / "encoder.safetensors"

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "config.json"

    def check(self, run: Run[Any], resume: bool) -> None:
        """SettingError where another run is in the way or settings changed; CheckpointError where it is not writable."""
        if self.path.exists() and not self.path.is_dir():
            raise SettingError("is a file, not a folder", file=self.path, remedy="Give another --out.")
        if self.config.exists() and not resume:
            remedy = "Give another --out, or --resume to go on with it."
            raise SettingError("holds a run already", file=self.path, remedy=remedy)
        if self.config.exists():
            old, new = flat(to_dict(read(self.config))), flat(to_dict(run))
            keys = (key for key in {**old, **new} if key not in MAY_DIFFER and old.get(key) != new.get(key))
            changed = [f"{key} {old.get(key)}, not {new.get(key)}" for key in keys]
            if changed:
                remedy = "Resume with the settings in its config.json, or start a new run."
                raise SettingError(f"was run with {'; '.join(changed)}", file=self.config, remedy=remedy)
        checkpoint.check_writable(self.path)

    def check_room(self, method: nn.Module, stages: int, kept: int) -> None:
        """CheckpointError where the disk has no room for the run: its state and the next, and the stages' encoders.

        kept: numbers that the optimiser keeps for each weight.
        """
        state = _bytes(method) + kept * _bytes(method, learned=True)
        needed = 2 * state + (stages + 1) * _bytes(method.encoder)
        free = shutil.disk_usage(self.path).free
        if free < needed:
            reason = f"has {free / 1e9:.1f} GB free, and the run may write {needed / 1e9:.1f} GB"
            raise CheckpointError(reason, file=self.path, remedy="Make room, or choose another --out.")

    def open(self, run: Run[Any]) -> None:
        """Save the settings, and clear away what a killed process was writing."""
        for torn in self.path.glob(".*.tmp"):
            torn.unlink(missing_ok=True)
        checkpoint.write_bytes(self.config, as_json(run).encode())

    def save(
        self,
        path: Path,
        method: nn.Module,
        optimizer: torch.optim.Optimizer,
        beside: Mapping[str, Tensor],
        card: Card,
        place: Place,
    ) -> None:
        """Method, optimiser and the state of what runs beside, whole, and where the run stands."""
        tensors = {f"method.{name}": value for name, value in method.state_dict().items()}
        tensors |= {f"beside.{name}": value for name, value in beside.items()}
        state = optimizer.state_dict()
        scalars: dict[str, Any] = {}
        for index, values in state["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
                else:
                    scalars[f"{index}.{name}"] = value
        whole = {"place": to_dict(place), "optimizer": scalars, "threads": torch.get_num_threads()}
        checkpoint.write(path, tensors, replace(card, kind="training state", state=whole))

    def restore(self, method: nn.Module) -> tuple[Place, dict[str, Tensor], Card]:
        """Put the saved method back; gives where to go on, all tensors, the card. CheckpointError: a misfit."""
        tensors, card = checkpoint.read(self.last)
        if card.kind != "training state":
            raise CheckpointError("holds no training state", file=self.last, remedy="Give the run's own folder.")
        checkpoint.load_strictly(method, below(tensors, "method."), self.last)
        return Place(**card.state["place"]), tensors, card


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Put back what `Folder.save` took from an optimiser of the same kind over the same parameters."""
    values: dict[int, dict[str, Any]] = {}
    for name, tensor in below(tensors, "optimizer.").items():
        index, key = name.split(".")
        values.setdefault(int(index), {})[key] = tensor
    for name, scalar in state["optimizer"].items():
        index, key = name.split(".")
        values.setdefault(int(index), {})[key] = scalar
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, own in optimizer.state.items():
        for key, value in own.items():
            if value.shape == parameter.shape:  # a fused optimiser walks through both in the order of memory
                own[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def flat(settings: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{where}{key}.") if isinstance(value, dict) else {f"{where}{key}": value}
    return found


def _bytes(module: Any, learned: bool = False) -> int:
    tensors = [p for p in module.parameters() if p.requires_grad] if learned else module.state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def write_json(path: Path, value: Any) -> None:
    """JSON, atomically."""
    checkpoint.write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())
