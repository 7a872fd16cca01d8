"""Each method resumed in the middle is the run that was never stopped, bit for bit: banks, slow copies, drawn scales."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vesalius.train.beside import See
from vesalius.train.loop import train
from vesalius.train.run import configure

pytestmark = pytest.mark.usefixtures("own_cache")
SHARED: dict[str, Any] = {
    "data": ("phantom:?bodies=12&size=32",), "ndim": 2, "size": 32, "holdout": 0.3, "batch": 2, "epochs": 2, "save_steps": 1,
    "threads": 1, "workers": 0, "device": "cpu", "optim": {"kind": "adamw", "lr": 1e-3},
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "pcrlv2": {"backbone": "unet4x3", "method": {"size": 16, "small_size": 8, "small": 1, "groups": 1}},
    "pcrl": {"backbone": "unet4x3", "method": {"size": 16, "bank": 4, "groups": 1}},
    "moco": {"backbone": "resnet18", "method": {"size": 16, "bank": 4, "groups": 1, "windows": (0,)}},
}


class Stopper:
    """Fails at one update, and changes nothing."""

    name = "stopper"

    def __init__(self, encoder: nn.Module, device: torch.device) -> None:
        self.calls = 0

    def __call__(self, see: See, now: Any) -> dict[str, float]:
        if now.step == 4:  # saved before: the first three updates
            raise ValueError("stopped")
        return {}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        assert not state


@pytest.mark.parametrize("method", METHODS)
def test_resumed_it_is_the_run_that_was_never_stopped(method: str, tmp_path: Path) -> None:
    settings = {**SHARED, **METHODS[method]}
    train(configure(method, {**settings, "out": str(tmp_path / "whole")}))
    with pytest.raises(ValueError, match="stopped"):
        train(configure(method, {**settings, "out": str(tmp_path / "torn")}), beside=Stopper)
    train(configure(method, {**settings, "out": str(tmp_path / "torn")}), resume=True)
    for file in ("last.safetensors", "encoder.safetensors"):
        whole, torn = (load_file(tmp_path / run / file) for run in ("whole", "torn"))
        assert whole.keys() == torn.keys()
        assert all(torn[name].equal(value) for name, value in whole.items()), file
