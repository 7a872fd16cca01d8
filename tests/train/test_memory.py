"""Batch "auto": the largest that fits, chosen without a trace."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fakes.command import vesalius
from fakes.memory import MemoryScan
from vesalius.errors import SettingError
from vesalius.methods import find
from vesalius.train import machine, memory, start
from vesalius.train.run import configure

pytestmark = pytest.mark.usefixtures("own_cache")
SMALL = {"backbone": "resnet18", "device": "cpu", "threads": 1, "batch": "auto"}
WORDS = "--backbone resnet18 --device cpu --threads 1 --workers 0 --epochs 1 --holdout 0 --log-steps 1".split()
ADAM = "--method.size 32 --method.bank 16 --method.groups 2 --method.levels 0 --size 64".split()


def ready(**settings: Any) -> tuple[Any, ...]:
    """What `largest` takes, for Adam on 20 images in memory."""
    method = {"size": 32, "bank": 64, "groups": 2, "levels": (0,)} | settings.pop("method", {})
    run, module = configure("adam", {**SMALL, **settings, "method": method}), find("adam")
    return run, module, start.method(run, module, 1), machine.prepare(run), [MemoryScan.random(i, 2) for i in range(20)]


def leave(monkeypatch: pytest.MonkeyPatch, available: float) -> None:
    """So many bytes of memory are free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))


def test_what_autograd_keeps_is_counted_once_and_weights_are_not() -> None:
    network, x = nn.Linear(5, 7), torch.rand(4, 5)
    assert memory.kept(lambda: network(x).exp().exp(), network) == 4 * (4 * 5 + 4 * 7 + 4 * 7)


def test_what_autograd_keeps_grows_with_the_images() -> None:
    run, module, made, here, scans = ready()
    few, many = (n * memory._kept_by(run, module, made, here, scans, n, 0) for n in (4, 16))  # type: ignore[arg-type]
    assert 3.5 < many / few <= 4


@pytest.mark.parametrize(
    ("images", "settings", "batches"),
    [
        (100, {"method": {"bank": 65_536, "groups": 4}}, [8, 16, 32, 64]),
        (10**6, {"method": {"bank": 65_536, "groups": 1}}, [2, 4, 8, 16, 32, 64, 128, 256]),
        (100, {"method": {"bank": 24, "groups": 1}}, [2, 4, 8]),
        (100, {"accumulate": 4, "method": {"groups": 2}}, [16, 32, 64]),
    ],
)
def test_what_a_method_takes(images: int, settings: dict[str, Any], batches: list[int]) -> None:
    run, _, made, _, _ = ready(**settings)
    assert start.batches(run, made, 1, images) == batches


def test_no_power_of_two_that_the_method_takes() -> None:
    run, _, made, _, _ = ready(method={"groups": 3})
    with pytest.raises(SettingError, match="with 100 images to train on, adam takes no power of two up to 100"):
        start.enough(run, made, 1, 100)


def test_the_batch_halves_with_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    run, module, made, here, scans = ready()
    learned = 4 * sum(p.numel() for p in made.towers.f.parameters())
    each = memory.SAFETY * memory._kept_by(run, module, made, here, scans, 4, 0)  # type: ignore[arg-type]
    for batch in (16, 8, 4):
        leave(monkeypatch, 2 * learned + 1.01 * batch * each)  # gradients and momentum too
        assert memory.largest(run, module, made, here, scans) == batch  # type: ignore[arg-type]
    leave(monkeypatch, 2 * learned + 3.9 * each)
    with pytest.raises(SettingError, match="free memory of the cpu does not hold a batch of 4"):
        memory.largest(run, module, made, here, scans)  # type: ignore[arg-type]


def test_the_trial_leaves_no_trace() -> None:
    run, module, made, here, scans = ready()
    before, dice = {name: value.clone() for name, value in made.state_dict().items()}, torch.get_rng_state()
    assert memory.largest(run, module, made, here, scans) == 16  # type: ignore[arg-type]
    assert all(value.equal(before[name]) for name, value in made.state_dict().items())
    assert torch.get_rng_state().equal(dice)
    assert all(p.grad is None for p in made.parameters())


def test_a_run_of_batch_auto_is_that_of_its_number_bit_for_bit(tmp_path: Path, radiographs: Path) -> None:
    for batch in ("auto", "16"):
        done = vesalius("pretrain", "adam", radiographs, "--out", tmp_path / batch, *WORDS, *ADAM, "--batch", batch)
        assert done.status == 0, done
        assert ("batch 16\n" in done.err) == (batch == "auto")
        assert json.loads((tmp_path / batch / "config.json").read_text())["batch"] == 16
    one, two = (load_file(tmp_path / batch / "last.safetensors") for batch in ("auto", "16"))
    assert all(one[name].equal(two[name]) for name in one)


def test_a_resumed_run_keeps_its_batch_whatever_is_free(
    tmp_path: Path, radiographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("pretrain", "fakes.contrast", radiographs, "--out", tmp_path / "run", *WORDS, "--batch", "auto")
    leave(monkeypatch, 0)
    assert "batch auto: the free memory of the cpu does not hold a batch of 1." in vesalius(*words).error
    assert not (tmp_path / "run" / "config.json").exists()
    leave(monkeypatch, 10**9)
    assert vesalius(*words, "--max-steps", 1).status == 0
    leave(monkeypatch, 0)
    assert vesalius(*words, "--max-steps", 1, "--resume").status == 0
