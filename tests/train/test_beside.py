"""What runs beside a training changes nothing of it, goes on where it was, and its time is told apart."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vesalius.methods.step import Progress
from vesalius.train.beside import See
from vesalius.train.logbook import Clock
from vesalius.train.loop import train
from vesalius.train.run import configure

pytestmark = pytest.mark.usefixtures("own_cache")
SETTINGS = {
    "data": ("phantom:?bodies=8&size=32",), "backbone": "fpn2x2", "ndim": 2, "size": 32, "body": False, "spacing": (),
    "holdout": 0.0, "batch": 2, "epochs": 1, "max_steps": 4, "save_steps": 1, "log_steps": 1, "threads": 1, "workers": 0,
    "device": "cpu", "method": {"patch": (16, 16), "voxels": 20, "width": 8},
}  # fmt: skip


class Curious:
    """Learns, draws random numbers, and looks at images through the encoder; at update `stop` it fails."""

    name = "curious"

    def __init__(self, encoder: Any, device: torch.device, stop: int = 0) -> None:
        self.encoder, self.stop, self.count = encoder, stop, torch.zeros(())
        self.head = nn.Linear(encoder.channels[-1], 1).to(device)

    def __call__(self, see: See, now: Progress) -> Mapping[str, float]:
        if now.step + 1 == self.stop:
            raise ValueError("stopped")
        images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(now.step))
        loss = self.head(see(images)[-1].mean((2, 3))).square().mean()
        loss.backward()
        assert all(module.training for module in self.encoder.modules())
        with torch.no_grad():
            self.head.weight -= 0.1 * self.head.weight.grad
        self.head.zero_grad()
        self.count += 1
        torch.rand(7)
        return {"curious_loss": float(loss.detach()), "curious_count": float(self.count)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"count": self.count, **self.head.state_dict()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self.count = state["count"]
        self.head.load_state_dict({name: value for name, value in state.items() if name != "count"})


def run(out: Path, stop: int | None = 0, resume: bool = False) -> dict[str, torch.Tensor]:
    """The training state at the end. stop: None for nothing beside it."""
    begin = None if stop is None else lambda encoder, device: Curious(encoder, device, stop)
    train(configure("vox2vec", {**SETTINGS, "out": str(out)}), resume, begin)
    return load_file(out / "last.safetensors")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_with_and_without_it_the_run_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", None)
    dice = torch.get_rng_state()
    beside = run(tmp_path / "beside")
    assert all(beside[name].equal(value) for name, value in alone.items())
    assert beside.keys() - alone.keys() == {"beside.count", "beside.weight", "beside.bias"}
    assert dice.equal(torch.get_rng_state())
    assert [row["curious_count"] for row in lines(tmp_path / "beside") if "curious_count" in row] == [1, 2, 3, 4]
    assert not [row for row in lines(tmp_path / "alone") if "curious_share" in row]


def test_resumed_it_is_what_was_never_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    for stop in (2, 4):
        with pytest.raises(ValueError, match="stopped"):
            run(tmp_path / "torn", stop, resume=stop == 4)
    torn = run(tmp_path / "torn", resume=True)
    assert whole.keys() == torn.keys()
    assert all(torn[name].equal(value) for name, value in whole.items())
    said = [[row for row in lines(tmp_path / name) if "curious_loss" in row] for name in ("whole", "torn")]
    assert said[0] == said[1]


def test_its_time_is_told_and_is_not_the_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("vesalius.train.logbook.time.monotonic", lambda: now[0])
    clock = Clock()
    now[0], clock.images, clock.waited, clock.beside = 10.0, 30, 2.0, {"probe": 4.0}
    assert clock.read() == {"images_per_s": 5.0, "data_wait": 0.3333, "probe_share": 0.4}
    now[0] = 20.0
    assert clock.read() == {"images_per_s": 0.0, "data_wait": 0.0, "probe_share": 0.0}


def test_the_share_is_in_every_line_of_a_run(tmp_path: Path) -> None:
    run(tmp_path / "run")
    shares = [row["curious_share"] for row in lines(tmp_path / "run") if "loss" in row]
    assert len(shares) == 4
    assert all(0 < share < 1 for share in shares)
