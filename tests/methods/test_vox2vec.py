"""vox2vec: its loss where the vectors are known, what it reads of a volume, and that it learns and repeats itself."""

import copy
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
from vesalius.models.norm import GroupedBatchNorm
from vesalius.train.batches import collate
from vesalius.train.run import configure

SMALL = vox2vec.Config(patch=(16, 16, 12), voxels=40)
STILL = replace(  # no draw changes a value: a deviation of 0.1 voxels reaches no neighbour
    SMALL, blur=(0, 0), sharpen_blur=(0.1, 0.1), sharpen=(0, 0), noise=(0, 0), low=(-1350, -1350), high=(1000, 1000)
)
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


def coded(index: int) -> MemoryScan:
    """Its channels hold the coordinates and the scan's number, as HU; some of it is body."""
    shape = (24, 20, 17)
    image = np.stack([*np.indices(shape), np.full(shape, index)]).astype(np.int16)
    return MemoryScan(image, index, "HU", generator(index).random(shape) < 0.6)


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


def test_from_the_scan_to_the_device_each_view_keeps_its_own_voxels() -> None:
    scans, config = [coded(i) for i in range(3)], replace(STILL, patch=(12, 10, 8), pairs_per_volume=2)
    batch = views(scans, config, 0)
    true = torch.arange(40) < batch["count"][:, None]
    pair, _ = true.nonzero().T
    found, corners = [], []
    for x, v in (("x1", "v1"), ("x2", "v2")):
        hu = (batch[x] * 2350 - 1350).round().int().movedim(1, -1)
        own, corner = batch[v][true], hu[:, 0, 0, 0, :3]
        found.append(hu[pair, *own.long().unbind(1)])
        corners.append(corner)
        assert torch.equal(own + corner[pair], found[-1][:, :3])
    assert torch.equal(*found)  # methods, oracle 4
    assert (corners[0] != corners[1]).any()  # so the other view's voxels would not do
    assert torch.equal(found[0][:, 3], torch.arange(3).repeat_interleave(2)[pair])
    assert all(scans[i].body()[x, y, z] for x, y, z, i in found[0].tolist())


def test_a_group_is_a_run_of_pairs_and_the_projectors_is_all_voxels(phantom: list[MemoryScan]) -> None:
    plain, batch = vox2vec.Method(zoo.build("fpn4x2", 3, 1), SMALL), views([*phantom, *phantom], SMALL, 0)
    grouped = vox2vec.Method(copy.deepcopy(plain.backbone), replace(SMALL, groups=2))
    x, v = batch["x1"], batch["v1"]
    halves = [plain.vectors(x[half], v[half]) for half in (slice(2), slice(2, 4))]
    assert torch.equal(grouped.vectors(x, v), torch.cat(halves))
    assert not torch.equal(plain.vectors(x, v), torch.cat(halves))
    assert not any(isinstance(m, GroupedBatchNorm) for m in (*plain.modules(), *grouped.projector.modules()))


def test_groups_that_do_not_fit_are_refused_and_one_may_be_one_pair() -> None:
    method = vox2vec.Method(zoo.build("fpn4x2", 3, 1), SMALL)
    method.check(1, 1)
    method.config = replace(SMALL, groups=2)
    method.check(4, 2)
    for batch, processes in ((2, 2), (5, 1), (6, 3)):
        with pytest.raises(SettingError, match="2 batch norm groups"):
            method.check(batch, processes)
    method.config = replace(SMALL, groups=2, pairs_per_volume=10)
    method.check(1, 1)


def test_pairs_of_one_volume_are_as_many_samples(phantom: list[MemoryScan]) -> None:
    config = replace(SMALL, pairs_per_volume=3)
    batch = views(phantom, config, 0)
    assert batch["x1"].shape == (6, 1, 16, 16, 12)
    assert batch["v2"].shape == (6, 40, 3)
    assert len({x.sum().item() for x in batch["x1"]}) == 6


def test_defaults_of_the_run_are_the_papers_unless_told_otherwise() -> None:
    run = configure("vox2vec", {"batch": 4, "optim": {"lr": 1e-3}, "method": {"voxels": 1024}})
    assert (run.backbone, run.ndim, run.spacing, run.body, run.batch) == ("fpn", 3, (1, 1, 2), True, 4)
    assert (run.method.groups, run.method.least_filled) == (1, 0.25)  # as in runs saved before there was a choice
    optim = run.optim
    assert (optim.kind, optim.lr, optim.weight_decay, optim.schedule, optim.clip) == ("adamw", 1e-3, 0, "constant", 1)


@pytest.mark.parametrize("name", ["blur", "sharpen_blur"])
def test_a_blur_wider_than_a_slice_of_the_patch_is_refused(name: str) -> None:
    replace(SMALL, patch=(16, 12, 8), **{name: (1.0, 3.0)})
    with pytest.raises(SettingError, match=rf"method\.{name}"):
        replace(SMALL, patch=(16, 12, 8), **{name: (1.0, 3.1)})


def test_what_cannot_be_used_is_refused_and_padding_is_said(phantom: list[MemoryScan]) -> None:
    config = vox2vec.Config()
    vox2vec.check_scan((40, 50, 8), config)
    with pytest.raises(DataError, match=r"Lower method\.patch"):
        vox2vec.check_scan((31, 50, 8), config)
    whole = replace(config, least_filled=1)  # the reference code's
    vox2vec.check_scan((128, 130, 32), whole)
    with pytest.raises(DataError, match="less than 100% of a side"):
        vox2vec.check_scan((128, 127, 32), whole)
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
