"""A run's folder: what lies in it, refusing to write over another run, saving and going on."""

import json
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

    def open(self, run: Run[Any], resume: bool) -> None:
        """Make the folder and save the settings; SettingError where another run is in the way or settings changed."""
        config = self.path / "config.json"
        if config.exists() and not resume:
            remedy = "Give another --out, or --resume to go on with it."
            raise SettingError("holds a run already", file=self.path, remedy=remedy)
        if resume and config.exists():
            old, new = to_dict(read(config)), to_dict(run)
            changed = [key for key in new if key not in MAY_DIFFER and old[key] != new[key]]
            if changed:
                remedy = "Resume with the settings in its config.json, or start a new run."
                raise SettingError(f"was run with another {', '.join(changed)}", file=config, remedy=remedy)
        checkpoint.write_bytes(config, as_json(run).encode())

    def save(self, path: Path, method: nn.Module, optimizer: torch.optim.Optimizer, card: Card, place: Place) -> None:
        """Method and optimiser, whole, and where the run stands."""
        tensors = {f"method.{name}": value for name, value in method.state_dict().items()}
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

    def restore(self, method: nn.Module) -> tuple[Place, dict[str, Tensor], dict[str, Any]]:
        """Put the saved method back; gives where to go on and the optimiser's state. CheckpointError where it misfits."""
        tensors, card = checkpoint.read(self.last)
        if card.kind != "training state":
            raise CheckpointError("holds no training state", file=self.last, remedy="Give the run's own folder.")
        own = {name.removeprefix("method."): value for name, value in tensors.items() if name.startswith("method.")}
        checkpoint.load_strictly(method, own, self.last)
        rest = {name: value for name, value in tensors.items() if name.startswith("optimizer.")}
        return Place(**card.state["place"]), rest, card.state


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Put back what `Folder.save` took from an optimiser of the same kind over the same parameters."""
    values: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        _, index, key = name.split(".")
        values.setdefault(int(index), {})[key] = tensor
    for name, scalar in state["optimizer"].items():
        index, key = name.split(".")
        values.setdefault(int(index), {})[key] = scalar
    optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})


def write_json(path: Path, value: Any) -> None:
    """JSON, atomically."""
    checkpoint.write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())
