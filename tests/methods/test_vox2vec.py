"""vox2vec: its loss where the vectors are known, what it reads of a volume, and that it learns and repeats itself."""

from dataclasses import replace
from math import exp, log
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fakes.memory import MemoryScan
from vesalius import zoo
from vesalius.chance import generator
from vesalius.data.body import body_mask
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError, SettingError
from vesalius.methods import vox2vec
from vesalius.methods.step import Progress
from vesalius.train.batches import collate
from vesalius.train.run import configure

SMALL = vox2vec.Config(patch=(16, 16, 12), voxels=40)
NOW = Progress(0, 0, 10, 0, 1, 0, logging=True)


class Pixels(torch.nn.Module):
    """The pyramid is the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ndim, self.channels, self.strides = 2, (channels,), (1,)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


def known(images: torch.Tensor, count: list[int]) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A method that takes pixels for vectors, and a batch of pairs of the same image, voxels in raster order."""
    method = vox2vec.Method(Pixels(images.shape[1]), vox2vec.Config())
    method.projector = torch.nn.Identity()
    voxels = torch.stack(torch.meshgrid(*map(torch.arange, images.shape[2:]), indexing="ij"), -1).reshape(1, -1, 2)
    voxels = voxels.expand(len(images), -1, -1)
    one = {"x1": images, "x2": images, "v1": voxels, "v2": voxels}
    return method, one | {"count": torch.tensor(count), "inside": torch.ones(len(images))}


@pytest.fixture(scope="module")
def phantom() -> list[MemoryScan]:
    """Two bodies at 12 mm."""
    data = open_dataset("phantom:?bodies=2&voxel=12&ndim=3")
    scans = [data.read(id) for id in data.ids[:2]]
    return [MemoryScan(s.image, i, "HU", body_mask(s.image[0])) for i, s in enumerate(scans)]


def views(scans: list[MemoryScan], config: vox2vec.Config, seed: int) -> dict[str, torch.Tensor]:
    samples = [vox2vec.crops(generator(seed, i), scan, config, 0) for i, scan in enumerate(scans)]
    return vox2vec.augment(collate(samples), config, 0)


def losses(scans: list[MemoryScan], steps: int) -> list[float]:
    torch.manual_seed(0)
    method = vox2vec.Method(zoo.build("fpn4x3", 3, 1), SMALL)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    found = []
    for step in range(steps):
        loss = method(views(scans, SMALL, step), NOW).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_orthonormal_vectors_of_equal_voxels_have_the_least_loss() -> None:
    method, batch = known(torch.eye(64).view(1, 64, 8, 8).double(), [64])
    step = method(batch, NOW)
    assert step.loss.item() == pytest.approx(log(1 + 126 * exp(-10)), rel=1e-9)
    assert step.log["accuracy"] == 1


def test_collapsed_vectors_have_the_loss_of_chance() -> None:
    method, batch = known(torch.ones(2, 1, 8, 8).double(), [64, 10])
    step = method(batch, NOW)
    assert step.loss.item() == pytest.approx(log(2 * 74 - 1), rel=1e-9)
    assert step.log["spread"] == 0
    assert any("collapse" in text for text in vox2vec.alarms({k: float(v) for k, v in step.log.items()}, SMALL))


def test_voxels_beyond_the_count_are_nothing() -> None:
    images = torch.nn.functional.normalize(torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    method, batch = known(images, [30, 7])
    other = {**batch, "v2": batch["v2"].clone()}
    other["v2"][0, 30:] = 3
    other["v2"][1, 7:] = 5
    torch.testing.assert_close(method(batch, NOW).loss, method(other, NOW).loss, rtol=0, atol=0)


def test_the_step_is_symmetric_in_its_views(phantom: list[MemoryScan]) -> None:
    method = vox2vec.Method(zoo.build("fpn4x3", 3, 1), SMALL).double()
    batch = {name: x.double() if x.is_floating_point() else x for name, x in views(phantom, SMALL, 0).items()}
    turned = {**batch, "x1": batch["x2"], "x2": batch["x1"], "v1": batch["v2"], "v2": batch["v1"]}
    torch.testing.assert_close(method(batch, NOW).loss, method(turned, NOW).loss)


def test_it_learns_and_the_same_seed_gives_the_same_losses(phantom: list[MemoryScan]) -> None:
    first = losses(phantom, 12)
    assert np.mean(first[-4:]) < np.mean(first[:4]) - 0.3
    assert losses(phantom, 3) == first[:3]


def test_pairs_of_one_volume_are_as_many_samples(phantom: list[MemoryScan]) -> None:
    config = replace(SMALL, pairs_per_volume=3)
    batch = views(phantom, config, 0)
    assert batch["x1"].shape == (6, 1, 16, 16, 12)
    assert batch["v2"].shape == (6, 40, 3)
    assert len({x.sum().item() for x in batch["x1"]}) == 6


def test_defaults_of_the_run_are_the_papers_unless_told_otherwise() -> None:
    run = configure("vox2vec", {"batch": 4, "optim": {"lr": 1e-3}})
    assert (run.backbone, run.ndim, run.spacing, run.body, run.batch) == ("fpn", 3, (1, 1, 2), True, 4)
    optim = run.optim
    assert (optim.kind, optim.lr, optim.weight_decay, optim.schedule, optim.clip) == ("adamw", 1e-3, 0, "constant", 1)


def test_what_cannot_be_used_is_refused_and_padding_is_said(phantom: list[MemoryScan]) -> None:
    config = vox2vec.Config()
    vox2vec.check_scan((40, 50, 8), config)
    with pytest.raises(DataError, match=r"Lower method\.patch"):
        vox2vec.check_scan((31, 50, 8), config)
    with pytest.raises(SettingError, match=r"method\.patch"):
        vox2vec.Method(zoo.build("fpn4x2", 3, 1), replace(config, patch=(32, 32)))
    with pytest.raises(SettingError, match="overlap"):
        vox2vec.Config(low=(-100, 400))
    with pytest.raises(DataError, match="arbitrary scale"):
        vox2vec.crops(generator(0), SimpleNamespace(unit="arbitrary", path="some.b2nd"), config, 0)
    step = vox2vec.Method(zoo.build("fpn4x2", 3, 1), SMALL)(views(phantom, replace(SMALL, patch=(16, 16, 60)), 0), NOW)
    assert 0 < step.log["padding"] < 1
    assert vox2vec.remark([(40, 50, 8), (128, 128, 32), (200, 127, 40)], config).startswith("2 of 3 images")
    assert not vox2vec.remark([(128, 128, 32)], config)
    assert any("padded" in text for text in vox2vec.alarms({"padding": float(step.log["padding"])}, SMALL))
