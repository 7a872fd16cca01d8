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
    "pcrlv2 in 3-D": {
        "data": ("phantom:?ndim=3&voxel=12&bodies=12",), "ndim": 3, "in_channels": 1, "spacing": (), "upsample": False,
        "backbone": "unet4x3",
        "method": {"patch": (16, 16, 8), "small_patch": (8, 8, 8), "small": 1, "groups": 1, "margin": (0, 0, 0),
                   "sizes": ((16, 16, 8), (12, 12, 12)), "small_sizes": ((8, 8, 8),)},
    },
    "pcrl": {"backbone": "unet4x3", "method": {"size": 16, "bank": 4, "groups": 1}},
    "moco": {"backbone": "resnet18", "method": {"size": 16, "bank": 4, "groups": 1, "windows": (0,)}},
}  # fmt: skip


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


@pytest.mark.parametrize("case", METHODS)
def test_resumed_it_is_the_run_that_was_never_stopped(case: str, tmp_path: Path) -> None:
    method, settings = case.split()[0], {**SHARED, **METHODS[case]}
    train(configure(method, {**settings, "out": str(tmp_path / "whole")}))
    with pytest.raises(ValueError, match="stopped"):
        train(configure(method, {**settings, "out": str(tmp_path / "torn")}), beside=Stopper)
    train(configure(method, {**settings, "out": str(tmp_path / "torn")}), resume=True)
    for file in ("last.safetensors", "encoder.safetensors"):
        whole, torn = (load_file(tmp_path / run / file) for run in ("whole", "torn"))
        assert whole.keys() == torn.keys()
        assert all(torn[name].equal(value) for name, value in whole.items()), file
