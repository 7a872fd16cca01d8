"""Every protocol in bf16, emulated where the machine has none: nearly the same answers, and rows that do not mix."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fakes import kermany
from fakes.balls import volume
from vesalius import compute, results, zoo
from vesalius.compute import Compute
from vesalius.errors import SettingError
from vesalius.evaluate import patches, whole
from vesalius.evaluate.command import evaluate
from vesalius.evaluate.metrics import dice
from vesalius.evaluate.patches import Config
from vesalius.evaluate.repeats import Plan
from vesalius.evaluate.study import Study

BF16 = Compute("cpu", "bf16")
MASKS = Study("phantom:?bodies=10&size=64", structures=("heart",), plan=Plan(shots=(4,), draws=1))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("protocol", ["linear", "nonlinear", "fewshot"])
def test_masks_are_nearly_the_same_in_bf16(tiny_run: Path, tmp_path: Path, protocol: str) -> None:
    study = replace(MASKS, protocol=protocol, settings={"size": 32, "steps": 8, "batch": 2})
    found = {}
    for how in (Compute(), BF16):
        rows = results.read(evaluate([tiny_run], tmp_path / how.precision, study, how))
        found[how.precision] = {row.patient: row.value for row in results.select(rows, name="dice")}
    assert found["fp32"].keys() == found["bf16"].keys()
    assert max(abs(found["fp32"][who] - found["bf16"][who]) for who in found["fp32"]) < 0.1
    with pytest.raises(SettingError, match="another precision"):
        evaluate([tiny_run], tmp_path / "fp32", study, BF16)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("protocol", ["linear", "finetune"])
def test_classes_in_bf16(tiny_run: Path, tmp_path: Path, protocol: str) -> None:
    settings: dict[str, Any] = {"size": 32} if protocol == "linear" else {"size": 32, "steps": 2, "batch": 2}
    study = Study(f"kermany:{kermany.write(tmp_path / 'data')}", protocol, plan=Plan(draws=1), settings=settings)
    rows = results.read(evaluate([tiny_run], tmp_path / "out", study, BF16))
    assert {row.name for row in rows} == {"auc", "ap"}


@pytest.mark.parametrize("make", [whole.Probe, patches.Patches])
def test_volumes_are_nearly_the_same_in_bf16(make: Any) -> None:
    torch.manual_seed(0)
    backbone = zoo.build("fpn4x2", 3, 1).eval()
    config = Config(
        patch=(16, 16, 16), steps=60, batch=3, lr=1e-2, head="nonlinear", frozen=1.0, whole=make is whole.Probe
    )
    found = []
    for how in (Compute(), BF16):
        with how.autocast():
            trainer = make(how.place(backbone), [volume(i) for i in range(3)], [volume(8)], ["ball"], config)
            found.append(next(iter(trainer.run([0, 1, 2], 0).predictions))[0])
    assert min(dice(one > 0.5, volume(8).mask[0]) for one in found) > 0.5
    assert dice(found[0] > 0.5, found[1] > 0.5) > 0.9


@pytest.mark.parametrize(("ndim", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_a_network_that_was_placed_says_the_same(ndim: int, layout: torch.memory_format) -> None:
    network, x = zoo.build("unet4x3", ndim, 1).eval(), torch.rand(1, 1, *(16,) * ndim)
    with torch.no_grad():
        before = network(x)
        after = Compute().place(network)(x)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    kernels = [p for p in network.parameters() if p.ndim == ndim + 2]
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
    assert compute.device_of(network) == compute.device_of(nn.Identity()) == torch.device("cpu")


def test_what_is_not_there_is_refused() -> None:
    assert compute.choose("cpu", "fp32") == Compute("cpu", "fp32")
    assert compute.choose("cpu").precision == ("bf16" if compute.has_bf16("cpu") else "fp32")
    for device, precision in (("tpu", "auto"), ("cpu", "fp8")):
        with pytest.raises(SettingError, match="setting"):
            compute.choose(device, precision)
    if not torch.cuda.is_available():
        with pytest.raises(SettingError, match="no GPU"):
            compute.choose("cuda")
