"""One contract for every method in the folder, in 2-D and in 3-D."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from fakes.memory import MemoryScan
from vesalius import methods, zoo
from vesalius.chance import generator
from vesalius.errors import DataError, SettingError
from vesalius.methods.step import Progress
from vesalius.train.batches import collate

B = 8
SMALL = {"size": 32, "bank": 32, "groups": 2, "patch": (32, 32, 32), "voxels": 40}
SMALL |= {"small": 2, "small_size": 16, "small_patch": (8, 8, 8)}
pytestmark = pytest.mark.filterwarnings("ignore:.*channels_last.*")


def ready(name: str, ndim: int, **settings: Any) -> tuple[Any, Any, torch.nn.Module]:
    """A method module, its settings at a small size, and the method."""
    module = methods.find(name)
    small = {field.name: SMALL[field.name] for field in fields(module.Config) if field.name in SMALL}
    config = replace(module.Config(), **{**small, **settings})
    torch.manual_seed(0)
    return module, config, module.Method(zoo.build("resnet18", ndim), config)


def views(module: Any, config: Any, ndim: int, stage: int = 0) -> dict[str, torch.Tensor]:
    samples = [module.crops(generator(1, i), MemoryScan.random(i, ndim, index=i), config, stage) for i in range(B)]
    return module.augment(collate(samples), config, stage)


def progress(stage: int = 0, step: int = 0) -> Progress:
    return Progress(stage, step, 10, 0, 1, 0, logging=True)


@pytest.fixture(params=[(name, ndim) for name in methods.names() for ndim in (2, 3)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[Any, Any, torch.nn.Module, int]:
    name, ndim = request.param
    return *ready(name, ndim), ndim


def test_a_step_learns_and_then_moves_only_what_it_should(case: Any) -> None:
    module, config, method, ndim = case
    before = {name: value.clone() for name, value in method.state_dict().items()}
    step = method(views(module, config, ndim), progress())
    step.loss.backward()
    assert torch.isfinite(step.loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.encoder.parameters())
    assert all(
        torch.equal(before[name], p) for name, p in method.named_parameters()
    )  # nothing learns before the optimiser
    keys = before.get("bank.keys")
    assert keys is None or torch.equal(keys, method.bank.keys)  # nor does the bank move in forward
    method.after_update([step.carry])
    assert keys is None or not torch.equal(keys, method.bank.keys)


def test_validation_leaves_bank_ema_and_statistics_bit_identical(case: Any) -> None:
    module, config, method, ndim = case
    batch = views(module, config, ndim)
    method.eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    with torch.no_grad():
        method(batch, progress())
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_views_are_images_in_0_to_1(case: Any) -> None:
    module, config, _, ndim = case
    x1, x2 = list(views(module, config, ndim, stage=config.stages - 1).values())[:2]
    assert x1.shape == x2.shape == (B, 1, *(32,) * ndim)
    assert x1.min() >= 0
    assert x1.max() <= 1 + 1e-5
    assert not torch.equal(x1, x2)


def test_crops_depend_on_their_seed_alone(case: Any) -> None:
    module, config, _, ndim = case
    scan = MemoryScan.random(0, ndim)
    first, second = (module.crops(generator(5), scan, config, 0) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["adam", "moco"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_bank_that_the_batch_does_not_divide_is_refused(name: str, ndim: int) -> None:
    _, _, method = ready(name, ndim)
    with pytest.raises(SettingError, match="multiple"):
        method.check(24, 1)


@pytest.mark.parametrize("name", methods.names())
def test_an_image_that_is_too_small_names_a_setting_that_there_is(name: str) -> None:
    module = methods.find(name)
    with pytest.raises(DataError, match=r"Lower method\.") as caught:
        module.check_scan((4, 4), module.Config())
    named = caught.value.remedy.partition("Lower method.")[2].partition(",")[0]
    assert hasattr(module.Config(), named)


def test_an_unknown_method_names_its_neighbour() -> None:
    with pytest.raises(SettingError, match="Did you mean adam"):
        methods.find("adan")


def test_adam_does_not_prune_the_whole_image_by_default() -> None:
    module, config, method = ready("adam", 2, threshold=-1.0)  # every negative is too similar
    batch = views(module, config, 2)
    assert method(batch, progress(stage=0)).log["pruned"] == 0
    pruned = method(batch, progress(stage=1))
    assert pruned.log["pruned"] == 1
    assert pruned.loss == 0


def test_adam_with_a_threshold_above_one_is_moco() -> None:
    module, config, method = ready("adam", 2, threshold=1.1)
    _, _, moco = ready("moco", 2)
    moco.load_state_dict({name: value for name, value in method.state_dict().items() if name != "pruning"})
    batch = views(module, config, 2)
    renamed = {"x_q": batch["x1"], "x_k": batch["x2"], "image": batch["image"], "part": batch["part"]}
    losses = [method(batch, progress(1)).loss, moco(renamed, progress(1)).loss]
    torch.testing.assert_close(*losses)


def test_adam_waits_for_the_bank_to_spread_before_it_prunes() -> None:
    module, config, method = ready("adam", 2, prune_from=0.9, threshold=-1.0)
    batch = views(module, config, 2, stage=1)
    step = method(batch, progress(stage=1))
    assert step.log["pruned"] == 0
    for _ in range(config.bank // B):  # a full bank of isotropic keys
        keys = torch.nn.functional.normalize(torch.randn(B, config.width), dim=1)
        method.after_update([(keys, batch["image"], batch["part"])])
    assert method(batch, progress(stage=1)).log["pruned"] == 1


def test_the_bank_remembers_image_and_part() -> None:
    module, config, method = ready("adam", 2)
    step = method(batch := views(module, config, 2, stage=2), progress(stage=2))
    method.after_update([step.carry])
    assert torch.equal(method.bank.image[:B], batch["image"])
    assert torch.equal(method.bank.box[:B], batch["part"])
    sides = method.bank.box[:B, 2:] - method.bank.box[:B, :2]
    assert (sides - 2500).abs().max() <= 200  # a quarter of either side, to a pixel of the image
